"""When everything in a scene sounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds import SOUNDS
from diffsound.scenes.structure import AXES, Request, Structure

MARGIN = 0.04  # seconds of silence at both ends
SHORTEST_CLIP = 0.5  # seconds
LEAST_OVERLAP = 0.1  # seconds for which a background sounds alone, at either end
PAUSES = {None: (0.12, 0.4), "slow": (0.45, 0.6), "fast": (0.03, 0.06)}  # seconds between repetitions
LENGTHS = {"short": (0.55, 0.8), "long": (2.0, 2.4)}  # seconds of a sustained sound; else what is usual for it


@dataclass(frozen=True)
class Slot:
    """Room in time for one event."""

    request: Request
    onset: float  # seconds
    length: float


def lay_out(structure: Structure, duration: float, rng: Generator) -> list[Slot]:
    """Slots for every event of a clip of `duration` seconds. In a clip below about 4 s a full scene is hurried to fit.

    Raises:
        ValueError: if the clip is shorter than half a second, or over before a second that the structure names, or
            that second leaves no time for the background to begin first.
    """
    room = duration - 2 * MARGIN
    if duration < SHORTEST_CLIP:
        raise ValueError(f"a scene of {duration:.2f} s holds no events: expected at least {SHORTEST_CLIP} s; "
                         "raise frames")
    first = structure.events[0]
    pauses = rng.uniform(0.1, 0.4, len(structure.events) - 1)
    blocks = _blocks(structure.events, room - pauses.sum(), duration, rng)
    if first.at is not None:
        return _at(structure, blocks[0], duration, rng)
    total = sum(map(_span, blocks)) + pauses.sum()
    if structure.background is None:
        pace = min(1.0, room / total)
        start = MARGIN + rng.uniform(0, max(0.0, room - total * pace))
        return _in_turn(structure.events, blocks, pauses, start, pace)
    needed = total + 2 * LEAST_OVERLAP
    length = min(room, max(rng.uniform(0.6, 1.0) * room, needed + 0.2))
    pace = min(1.0, length / needed)
    start = MARGIN + rng.uniform(0, room - length)
    inner = start + LEAST_OVERLAP * pace + rng.uniform(0, max(0.0, length - needed * pace))
    return [Slot(structure.background, start, length), *_in_turn(structure.events, blocks, pauses, inner, pace)]


def _in_turn(requests: tuple[Request, ...], blocks: list[np.ndarray], pauses: np.ndarray, now: float, pace: float
             ) -> list[Slot]:
    slots = []
    for request, times, pause in zip(requests, blocks, [*pauses, 0.0], strict=True):
        slots += [Slot(request, now + onset * pace, length * pace) for onset, length in times]
        now += (_span(times) + pause) * pace
    return slots


def _at(structure: Structure, times: np.ndarray, duration: float, rng: Generator) -> list[Slot]:
    """One event at its second, and perhaps a background around it."""
    request, background = structure.events[0], structure.background
    last = duration - MARGIN - _span(times)
    if request.at > last:
        raise ValueError(f"{request.name} at second {request.at:g} is not over by the end of {duration:.2f} s: raise "
                         "frames, or set world.kinds without timed")
    slots = [Slot(request, request.at + onset, length) for onset, length in times]
    if background is not None:
        if request.at - LEAST_OVERLAP < MARGIN:
            raise ValueError(f"{request.name} is asked for at second {request.at:g}, over {background.name}: expected "
                             f"at least {MARGIN + LEAST_OVERLAP:.2f}, so that {background.name} is heard before it; "
                             "name a later second, or leave the background out")
        start = rng.uniform(MARGIN, min(request.at - LEAST_OVERLAP, 0.3 * duration))
        stop = rng.uniform(max(slots[-1].onset + slots[-1].length, 0.7 * duration), duration - MARGIN)
        slots.insert(0, Slot(background, start, stop - start))
    return slots


def _blocks(requests: tuple[Request, ...], room: float, duration: float, rng: Generator) -> list[np.ndarray]:
    """For each request (count, 2) onsets and lengths in seconds, from 0; sustained sounds share what time is left."""
    repeats = {request.name: _repeats(request, rng) for request in requests if SOUNDS[request.name].momentary}
    left = room - sum(map(_span, repeats.values()))
    said = {request.name: rng.uniform(*LENGTHS[word]) for request in requests
            for word in request.attributes if word in LENGTHS}
    others = len(requests) - len(repeats) - len(said)
    left = (left - sum(said.values())) / max(1, others)  # for each sustained sound
    return [repeats[request.name] if request.name in repeats
            else np.array([[0.0, said.get(request.name) or _usual_length(request.name, left, duration, rng)]])
            for request in requests]


def _repeats(request: Request, rng: Generator) -> np.ndarray:
    """A momentary sound in a slightly uneven rhythm."""
    sound = SOUNDS[request.name]
    tempo = next((word for word in request.attributes if word in AXES["rate"]), None)
    lengths = rng.uniform(*sound.seconds) * rng.uniform(0.94, 1.06, request.count)
    steps = lengths + rng.uniform(*PAUSES[tempo]) * rng.uniform(0.9, 1.1, request.count)
    return np.stack([np.cumsum(steps) - steps, lengths], axis=1)


def _usual_length(name: str, left: float, duration: float, rng: Generator) -> float:
    """Of a sustained sound that may take `left` seconds of a clip."""
    shortest, longest = SOUNDS[name].seconds
    return rng.uniform(shortest, max(shortest, min(left, max(longest, duration / 2))))


def _span(times: np.ndarray) -> float:
    """Seconds from the first onset to the last offset of (count, 2) onsets and lengths."""
    return float(times[-1].sum())
