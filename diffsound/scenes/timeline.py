"""Scenes: a waveform, the exact timeline of what sounds in it, and captions that tell it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from diffsound.scenes.captions import Wording
from diffsound.scenes.captions import caption as word
from diffsound.scenes.layout import lay_out
from diffsound.scenes.room import bed, place
from diffsound.scenes.sounds import SOUNDS
from diffsound.scenes.structure import SAID, Request, Structure
from diffsound.scenes.synthesis import PEAK, synthesise
from diffsound.scenes.world import Part, World

BACKGROUND_DB = -9.0  # a sound under another one
LEVEL_DB = 9.0  # a loud sound over an ordinary one, and that over a faint one
BEDS = 0.25  # share of the scenes of a world with rooms that have a bed
POSITIONS = {None: (0.38, 0.62), False: (0.0, 0.22), True: (0.78, 1.0)}  # of what is not said, of "low", of "high"
WORDINGS_PER_SCENE = 6


@dataclass(frozen=True)
class Event:
    """One sound, from `onset` to `offset` seconds. Every repetition is an event of its own.

    positions: where it is in the range of its class, 0 to 1, on each axis of `AXES` that is known; 0.5 is ordinary.
    level: gain in dB.
    """

    name: str
    onset: float
    offset: float
    positions: dict[str, float] = field(default_factory=dict)
    level: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A clip of which everything is known."""

    waveform: np.ndarray  # (num_samples,) float32 in [-1, 1]; exactly 0 where nothing sounds, unless it has a bed
    sample_rate: int
    events: tuple[Event, ...]  # by onset
    structure: Structure
    captions: tuple[str, ...]  # several wordings of the same truth

    @property
    def caption(self) -> str:
        return self.captions[0]


def make_scene(seed: int, index: int, num_samples: int = 86016, sample_rate: int = 22050, world: World | None = None,
               part: Part = "all") -> Scene:
    """Scene number `index` of the endless list `seed` of a world: a pure function of its arguments.

    The sentence does not depend on length and sample rate, so lists that differ in these tell the same stories. The
    default is 3.9 s, 336 mel frames.
    """
    rng, world = np.random.default_rng([seed, index]), world or World()
    structure = world.draw(rng, part)
    return render(structure, rng, num_samples, sample_rate, rooms=bool(rng.random() < world.rooms),
                  wording=world.wording)


def render(structure: Structure, rng: Generator, num_samples: int = 86016, sample_rate: int = 22050,
           caption: str | None = None, rooms: bool = False, wording: Wording = "plain") -> Scene:
    """A scene that is true to `structure`; another state of `rng` gives another true rendering.

    Args:
        caption: the sentence to keep with it; by default `rng` words some, as `wording` says.
        rooms: whether sounds are near or far in a room, with a bed of noise under some scenes.
    """
    captions = (caption,) if caption else tuple(word(structure, rng, wording) for _ in range(WORDINGS_PER_SCENE))
    waveform, events = np.zeros(num_samples, np.float32), []
    manner = {request.name: _draw_manner(request, rooms, rng) for request in structure.requests}
    for slot in lay_out(structure, num_samples / sample_rate, rng):
        name, under = slot.request.name, slot.request is structure.background
        source, positions = manner[name]
        sound = synthesise(name, np.random.default_rng(source), slot.length, sample_rate, positions)
        if "distance" in positions:
            sound = place(sound, positions["distance"], sample_rate, rng)
        level = rng.uniform(-1, 1) + LEVEL_DB * (2 * positions["level"] - 1)
        level += under * BACKGROUND_DB
        start = min(round(slot.onset * sample_rate), num_samples - len(sound))
        waveform[start:start + len(sound)] += sound * np.float32(10 ** (level / 20))
        known = {axis: value for axis, value in positions.items() if not (under and axis == "level")}
        events.append(Event(name, start / sample_rate, (start + len(sound)) / sample_rate, known, level))
    if rooms and rng.random() < BEDS:
        waveform += bed(rng, num_samples, sample_rate)
    waveform *= min(1.0, PEAK / max(np.abs(waveform).max(), 1e-9))
    return Scene(waveform, sample_rate, tuple(sorted(events, key=lambda e: e.onset)), structure, captions)


def _draw_manner(request: Request, rooms: bool, rng: Generator) -> tuple[int, dict[str, float]]:
    """A seed, and where on each axis the sound is: the same dog barks every time."""
    sides = dict(SAID[word] for word in request.attributes)
    sound = SOUNDS[request.name]
    has = {"pitch": sound.pitch is not None, "rate": sound.rate is not None, "level": True,
           "distance": rooms or "distance" in sides}
    positions = {axis: float(rng.uniform(*POSITIONS[sides.get(axis)])) for axis in has if has[axis]}
    return int(rng.integers(2**62)), positions
