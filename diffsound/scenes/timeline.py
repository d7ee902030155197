"""Scenes: a waveform, the exact timeline of what sounds in it, and captions that tell it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from diffsound.scenes.captions import caption as word
from diffsound.scenes.structure import Structure, draw_structure
from diffsound.scenes.synthesis import PEAK, SOUNDS, synthesise

MARGIN = 0.04  # seconds of silence at both ends
BACKGROUND_DB = -9.0  # a sound under another one
SHORTEST_CLIP = 0.5  # seconds
WORDINGS_PER_SCENE = 6


@dataclass(frozen=True)
class Event:
    """One sound, from `onset` to `offset` seconds. Every repetition is an event of its own."""

    name: str
    onset: float
    offset: float


@dataclass(frozen=True)
class Scene:
    """A clip of which everything is known."""

    waveform: np.ndarray  # (num_samples,) float32 in [-1, 1]; exactly 0 where nothing sounds
    sample_rate: int
    events: tuple[Event, ...]  # by onset
    structure: Structure
    captions: tuple[str, ...]  # several wordings of the same truth

    @property
    def caption(self) -> str:
        return self.captions[0]


def make_scene(seed: int, index: int, num_samples: int = 86016, sample_rate: int = 22050) -> Scene:
    """Scene number `index` of the endless list `seed`: a pure function of its arguments.

    The sentence depends on (seed, index) only, so lists of other lengths and sample rates tell the same stories.
    The default is 3.9 s, 336 mel frames. In a clip below about 4 s a full sequence is hurried until it fits.
    """
    rng = np.random.default_rng([seed, index])
    return render(draw_structure(rng), rng, num_samples, sample_rate)


def render(structure: Structure, rng: Generator, num_samples: int = 86016, sample_rate: int = 22050,
           caption: str | None = None) -> Scene:
    """A scene that is true to `structure`; another state of `rng` gives another true rendering.

    `caption` is the sentence to keep with it; by default `rng` words some.
    """
    captions = (caption,) if caption else tuple(word(structure, rng) for _ in range(WORDINGS_PER_SCENE))
    waveform, events = np.zeros(num_samples, np.float32), []
    source = {name: int(rng.integers(2**62)) for name in structure.names}  # the same dog barks every time
    background = structure.names[1] if structure.relation == "while" else None
    for name, onset, length in lay_out(structure, num_samples / sample_rate, rng):
        sound = synthesise(name, np.random.default_rng(source[name]), length, sample_rate)
        start = min(round(onset * sample_rate), num_samples - len(sound))
        gain_db = rng.uniform(-1, 1) + (BACKGROUND_DB if name == background else 0)
        waveform[start:start + len(sound)] += sound * np.float32(10 ** (gain_db / 20))
        events.append(Event(name, start / sample_rate, (start + len(sound)) / sample_rate))
    waveform *= min(1.0, PEAK / max(np.abs(waveform).max(), 1e-9))
    return Scene(waveform, sample_rate, tuple(sorted(events, key=lambda e: e.onset)), structure, captions)


def lay_out(structure: Structure, duration: float, rng: Generator) -> list[tuple[str, float, float]]:
    """When everything sounds in a clip of `duration` seconds: (name, onset, length) in seconds.

    Raises:
        ValueError: if the clip is shorter than half a second.
    """
    room = duration - 2 * MARGIN
    if duration < SHORTEST_CLIP:
        raise ValueError(f"a scene of {duration:.2f} s holds no events: expected at least {SHORTEST_CLIP} s; "
                         "raise frames")
    repeats = {name: _repeats(name, count, rng)
               for name, count in zip(structure.names, structure.counts, strict=True) if SOUNDS[name].momentary}
    if structure.relation == "while":
        return _lay_under(structure.names[1], structure.names[0], repeats[structure.names[0]], room, rng)

    pauses = rng.uniform(0.1, 0.4, len(structure.names) - 1)
    spent = sum(_span(times) for times in repeats.values()) + pauses.sum()
    left = (room - spent) / max(1, len(structure.names) - len(repeats))  # for each sustained sound
    blocks = [repeats[name] if name in repeats else _sustained(name, left, duration, rng) for name in structure.names]
    total = sum(_span(times) for times in blocks) + pauses.sum()
    pace = min(1.0, room / total)
    now = MARGIN + rng.uniform(0, max(0.0, room - total * pace))
    layout = []
    for name, times, pause in zip(structure.names, blocks, [*pauses, 0.0], strict=True):
        layout += [(name, now + onset * pace, length * pace) for onset, length in times]
        now += (_span(times) + pause) * pace
    return layout


def _lay_under(background: str, foreground: str, times: np.ndarray, room: float, rng: Generator
               ) -> list[tuple[str, float, float]]:
    """A long background, and the foreground at `times` somewhere within it."""
    needed = _span(times) + 0.2  # the background begins and ends alone
    length = min(room, max(rng.uniform(0.6, 1.0) * room, needed + 0.2))
    pace = min(1.0, length / needed)
    start = MARGIN + rng.uniform(0, room - length)
    first = start + 0.1 * pace + rng.uniform(0, max(0.0, length - needed * pace))
    return [(background, start, length)] + [(foreground, first + onset * pace, beat * pace) for onset, beat in times]


def _span(times: np.ndarray) -> float:
    """Seconds from the first onset to the last offset of (count, 2) onsets and lengths."""
    return float(times[-1].sum())


def _repeats(name: str, count: int, rng: Generator) -> np.ndarray:
    """(count, 2) onsets and lengths of a momentary sound in a slightly uneven rhythm, from 0, in seconds."""
    sound = SOUNDS[name]
    lengths = rng.uniform(sound.shortest, sound.longest) * rng.uniform(0.94, 1.06, count)
    steps = lengths + rng.uniform(0.12, 0.4) * rng.uniform(0.9, 1.1, count)
    return np.stack([np.cumsum(steps) - steps, lengths], axis=1)


def _sustained(name: str, left: float, duration: float, rng: Generator) -> np.ndarray:
    """(1, 2) onset 0 and length of a sustained sound that may take `left` seconds of a clip."""
    sound = SOUNDS[name]
    longest = min(left, max(sound.longest, duration / 2))
    return np.array([[0.0, rng.uniform(sound.shortest, max(sound.shortest, longest))]])
