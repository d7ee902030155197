"""The table of sounds, and their loudness."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from diffsound.scenes import events
from diffsound.scenes.waves import Array

LOUDNESS = 0.14  # RMS of the loudest 40 ms of an event
PEAK = 0.9


@dataclass(frozen=True)
class Sound:
    """One class of sound. A momentary one can be counted; a sustained one fills the time it is given."""

    make: Callable[[Generator, float, int], Array]
    momentary: bool
    shortest: float  # seconds
    longest: float


SOUNDS: dict[str, Sound] = {
    "beep": Sound(events.beep, True, 0.25, 0.4),
    "bell": Sound(events.bell, True, 0.55, 0.7),
    "whistle": Sound(events.whistle, True, 0.4, 0.6),
    "horn": Sound(events.horn, True, 0.35, 0.6),
    "knock": Sound(events.knock, True, 0.2, 0.28),
    "drum": Sound(events.drum, True, 0.3, 0.45),
    "glass": Sound(events.glass, True, 0.3, 0.45),
    "dog": Sound(events.dog, True, 0.22, 0.35),
    "cat": Sound(events.cat, True, 0.5, 0.7),
    "bird": Sound(events.bird, True, 0.25, 0.4),
    "duck": Sound(events.duck, True, 0.22, 0.35),
    "siren": Sound(events.siren, False, 1.0, 2.4),
    "rain": Sound(events.rain, False, 1.0, 2.4),
    "wind": Sound(events.wind, False, 1.0, 2.4),
    "wave": Sound(events.wave, False, 1.2, 2.4),
    "thunder": Sound(events.thunder, False, 1.2, 2.4),
    "engine": Sound(events.engine, False, 1.0, 2.4),
    "helicopter": Sound(events.helicopter, False, 1.0, 2.4),
}
MOMENTARY = tuple(name for name, sound in SOUNDS.items() if sound.momentary)
SUSTAINED = tuple(name for name, sound in SOUNDS.items() if not sound.momentary)


def synthesise(name: str, rng: Generator, duration: float, sample_rate: int) -> Array:
    """One event of class `name`.

    Returns:
        (n,) float32, n = round(duration * sample_rate), starting and ending at 0, of about equal loudness whatever the
        class (give or take 1.5 dB), within [-0.9, 0.9].
    Raises:
        ValueError: if there is no such class.
    """
    if name not in SOUNDS:
        raise ValueError(f"no sound is called '{name}': expected one of {', '.join(SOUNDS)}")
    samples = SOUNDS[name].make(rng, duration, sample_rate)
    samples = samples - samples.mean()
    fade = min(len(samples), round(0.012 * sample_rate))
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)  # what still rings ends without a click
    block = round(0.04 * sample_rate)
    energy = np.add.reduceat(samples**2, np.arange(0, len(samples), block)).max() / block
    level = LOUDNESS * 10 ** (rng.uniform(-1.5, 1.5) / 20) / np.sqrt(energy + 1e-12)
    return (samples * min(level, PEAK / (np.abs(samples).max() + 1e-12))).astype(np.float32)
