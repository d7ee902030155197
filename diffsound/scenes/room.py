"""A simple room: what is far is dull, weak, and rings on."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter

from diffsound.scenes.waves import Array, noise, time_axis

ECHOES, RINGING = 12, 0.06  # how many, and their time constant in seconds; no echo is later than five of these
BED_DB = (-62.0, -46.0)  # RMS of a bed of noise


def place(sound: Array, distance: float, sample_rate: int, rng: Generator) -> Array:
    """`sound` (n,) heard at `distance`, from 0 (at the ear) to 1 (far away), as loud as it is in the middle.

    It stays as long, since its echoes end with it.
    """
    gain_db, cutoff, wet = 6 - 12 * distance, 14000 * (1000 / 14000) ** distance, 0.55 * distance
    pole = np.float32(np.exp(-2 * np.pi * cutoff / sample_rate))
    direct = lfilter(np.array([1 - pole]), np.array([1, -pole], np.float32), sound)
    delays = rng.exponential(RINGING, ECHOES).clip(0.004, 5 * RINGING)
    strengths = wet * np.exp(-delays / RINGING) * rng.choice([-1, 1], ECHOES)
    result = direct.copy()
    for delay, strength in zip((delays * sample_rate).astype(int), strengths, strict=True):
        if delay < len(sound):
            result[delay:] += np.float32(strength) * direct[:len(sound) - delay]
    fade = min(len(result), round(0.012 * sample_rate))
    result[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
    return result * np.float32(10 ** (gain_db / 20))


def bed(rng: Generator, num_samples: int, sample_rate: int) -> Array:
    """A faint noise that lies under a whole clip: a room, a street, a bad microphone."""
    low = float(rng.choice([40, 120, 400]))
    hiss = noise(rng, time_axis(num_samples / sample_rate, sample_rate), low, low * rng.uniform(8, 20))
    return hiss * np.float32(10 ** (rng.uniform(*BED_DB) / 20))
