"""What the sounds are made of: oscillators, noise and envelopes.

Everything is (n,) float32. `t` is the time axis of an event, seconds since its onset, and carries the sample rate.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

Array = np.ndarray
TAU = np.float32(2 * np.pi)


def time_axis(duration: float, sample_rate: int) -> Array:
    """Seconds since the onset, one number a sample, at least two of them."""
    return np.arange(max(2, round(duration * sample_rate)), dtype=np.float32) / np.float32(sample_rate)


# ---------------------------------------------------------------------------------------------------------- oscillators


def cycles(frequency: Array | float, t: Array) -> Array:
    """Position within the period, in [0, 1), of an oscillator whose `frequency` in Hz may change over time."""
    if np.ndim(frequency) == 0:
        elapsed = np.arange(len(t)) * (frequency * float(t[1]))
    else:
        elapsed = np.cumsum(frequency, dtype=np.float64) * float(t[1])
    return (elapsed - np.floor(elapsed)).astype(np.float32)  # a float32 sum would hiss


def tone(position: Array) -> Array:
    """Sine of an oscillator at `position` within its period."""
    return np.sin(TAU * position)


def overtones(position: Array) -> Iterator[Array]:
    """Sines at 1, 2, 3, ... times an oscillator, by sin((k+1)x) = 2 cos(x) sin(kx) - sin((k-1)x)."""
    twice_cosine = 2 * np.cos(TAU * position)
    last, sine = np.zeros_like(position), tone(position)
    while True:
        yield sine
        last, sine = sine, twice_cosine * sine - last


def harmonics(position: Array, amplitudes: Array) -> Array:
    """Sum of the sines at 1, 2, 3, ... times an oscillator, with constant `amplitudes` (K,)."""
    return sum(np.float32(a) * sine for a, sine in zip(amplitudes, overtones(position), strict=False))


def voice(pitch: Array, t: Array, num_harmonics: int, *peaks: tuple[Array | float, float, float]) -> Array:
    """The harmonics of `pitch` (n,) Hz below half the sample rate, sung through resonances that may move.

    Each peak is (centre in Hz, a number or (n,); width in Hz; strength).
    """
    audible = min(num_harmonics, int(0.5 / t[1] / pitch.max()))
    wave = np.zeros_like(t)
    for k, sine in zip(range(1, audible + 1), overtones(cycles(pitch, t)), strict=False):
        for centre, width, strength in peaks:
            wave += sine * np.float32(strength) / (1 + ((k * pitch - centre) / np.float32(width)) ** 2)
    return wave


def smallness(pitch: float, usual: float) -> float:
    """How much higher the resonances of a throat are whose voice has `pitch` and not the `usual` one, both in Hz."""
    return (pitch / usual) ** 0.6  # small animals have short throats, but less so than high voices


def ring(t: Array, frequencies: Array, decays: Array, amplitudes: Array) -> Array:
    """A struck body: partials at `frequencies` (K,) Hz that die away with time constants `decays` (K,) in seconds."""
    return sum(np.float32(a) * fade(t, decay) * tone(cycles(f, t))
               for f, decay, a in zip(frequencies, decays, amplitudes, strict=True) if f < 0.5 / t[1])


# ---------------------------------------------------------------------------------------------------------------- noise


def noise(rng: Generator, t: Array, low: float, high: float) -> Array:
    """Noise of RMS 1 between `low` and `high` Hz, falling by 12 dB an octave outside.

    A spectrum of random phases, transformed once: half the work of filtering white noise.
    """
    size = -(-len(t) // 1024) * 1024  # transforms dislike lengths with large prime factors
    f = np.arange(1, size // 2 + 1, dtype=np.float32) / (np.float32(size) * t[1])
    below, above = (np.float32(low) / f) ** 2, (f / np.float32(high)) ** 2
    gain = 1 / np.sqrt((1 + below * below) * (1 + above * above))
    gain *= size / np.sqrt(2 * np.sum(gain**2))
    phase = TAU * rng.random(len(f), dtype=np.float32)
    spectrum = np.zeros(len(f) + 1, np.complex64)
    spectrum.real[1:], spectrum.imag[1:] = gain * np.cos(phase), gain * np.sin(phase)
    return np.fft.irfft(spectrum, size)[: len(t)]


def grains(rng: Generator, t: Array, a_second: float, pitches: tuple[float, float], decay: float, rise: float = 0,
           spread: float = 1) -> Array:
    """Drops, snaps, bubbles: short tones at random moments, about `a_second`, with time constant `decay` in seconds.

    Each has a pitch of its own between `pitches` in Hz that rises by the share `rise` while it sounds, and a strength
    that differs the more, the larger `spread` is.
    """
    num = max(1, round(a_second * float(t[-1])))
    since = t[: min(len(t), round(5 * decay / float(t[1])))]  # seconds since a grain began
    pitch = np.exp(rng.uniform(*np.log(pitches), num)).astype(np.float32)[:, None]
    size = rng.exponential(1, num).astype(np.float32) ** np.float32(spread)
    waves = size[:, None] * tone(pitch * (since + np.float32(rise / (10 * decay)) * since**2)) * fade(since, decay)
    first = rng.integers(0, max(1, len(t) - len(since)), num)
    result = np.zeros(len(t) + len(since), np.float32)
    for start, wave in zip(first, waves, strict=True):
        result[start:start + len(since)] += wave
    return result[: len(t)]


def wander(rng: Generator, t: Array, turns_a_second: float, low: float, high: float) -> Array:
    """A random curve between `low` and `high` that heads for a new value `turns_a_second` times."""
    values = rng.uniform(low, high, 2 + round(turns_a_second * float(t[-1])))
    return np.interp(t, np.linspace(0, t[-1], len(values)), values).astype(np.float32)


# ------------------------------------------------------------------------------------------------------------ envelopes


def fade(t: Array, time_constant: float) -> Array:
    """Exponential decay from 1 at t = 0."""
    return np.exp(t * np.float32(-1 / time_constant))


def arch(t: Array, attack: float, release: float) -> Array:
    """1 in the middle; rises smoothly in the first `attack` seconds and falls in the last `release` seconds."""
    curve = np.ones_like(t)
    rising, falling = np.searchsorted(t, attack), np.searchsorted(t, t[-1] - np.float32(release))
    curve[:rising] = np.sin(t[:rising] * np.float32(np.pi / 2 / attack))
    curve[falling:] *= np.sin((t[-1] - t[falling:]) * np.float32(np.pi / 2 / release))
    return curve


def hump(x: Array) -> Array:
    """Half a sine: 0 up to x = 0, 1 at a half, 0 from x = 1 on."""
    return np.sin((TAU / 2) * np.clip(x, 0, 1)).clip(0).astype(np.float32)


def bump(t: Array, centre: float, width: float) -> Array:
    """Gaussian hump, 1 at `centre` seconds."""
    return np.exp(-0.5 * ((t - np.float32(centre)) * np.float32(1 / width)) ** 2)
