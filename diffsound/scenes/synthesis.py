"""One event of a class, levelled."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds import SOUNDS
from diffsound.scenes.waves import Array, time_axis

LOUDNESS = 0.07  # RMS of the loudest 40 ms of an event: loud and near ones still fit below the peak
PEAK = 0.9


def synthesise(name: str, rng: Generator, duration: float, sample_rate: int,
               positions: Mapping[str, float] | None = None) -> Array:
    """One event of class `name`.

    Args:
        positions: where in its range "pitch" and "rate" of the class are, 0 to 1; 0.5 if it is not given.
    Returns:
        (n,) float32, n = round(duration * sample_rate), starting and ending at 0, of about equal loudness whatever the
        class (give or take 1.5 dB), within [-0.9, 0.9].
    Raises:
        ValueError: if there is no such class.
    """
    if name not in SOUNDS:
        raise ValueError(f"no sound is called '{name}': expected one of {', '.join(SOUNDS)}")
    sound, positions = SOUNDS[name], positions or {}
    ranges = {axis: limits for axis, limits in (("pitch", sound.pitch), ("rate", sound.rate)) if limits}
    at = {axis: low * (high / low) ** positions.get(axis, 0.5) for axis, (low, high) in ranges.items()}
    samples = sound.make(rng, time_axis(duration, sample_rate), **at)
    samples = samples - samples.mean()
    fade = min(len(samples), round(0.012 * sample_rate))
    samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)  # what still rings ends without a click
    block = round(0.04 * sample_rate)
    energy = np.add.reduceat(samples**2, np.arange(0, len(samples), block)).max() / block
    level = LOUDNESS * 10 ** (rng.uniform(-1.5, 1.5) / 20) / np.sqrt(energy + 1e-12)
    return (samples * min(level, PEAK / (np.abs(samples).max() + 1e-12))).astype(np.float32)
