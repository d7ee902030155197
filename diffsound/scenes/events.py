"""Eighteen sounds, each a short recipe with random parameters: `(rng, duration, sample_rate) -> (n,) float32`.

Loudness is arbitrary here; `synthesis.py` levels it. Frequencies in Hz, times in seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.waves import (
    Array,
    arch,
    bump,
    cycles,
    fade,
    harmonics,
    noise,
    ring,
    time_axis,
    tone,
    voice,
    wander,
)

# ---------------------------------------------------------------------------------------------------------------- tones


def beep(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A steady electronic tone that starts and stops at once."""
    t = time_axis(duration, sample_rate)
    pitch, edge = rng.uniform(800, 1300), rng.uniform(0.02, 0.12)
    return harmonics(cycles(pitch, t), [1, 0, edge, 0, edge / 2]) * arch(t, 0.004, 0.004)


def bell(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A small bell: a struck chord of partials that are not harmonics, the high ones dying first."""
    t = time_axis(duration, sample_rate)
    strike_note, damping = rng.uniform(620, 900), rng.uniform(0.8, 1.2)
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.67, 3.01, 4.17, 5.43])
    amplitudes = [0.4, 1.0, 0.6, 0.3, 0.8, 0.45, 0.35, 0.25, 0.15]
    return ring(t, strike_note * ratios, damping * 0.3 / ratios**0.6, amplitudes)


def whistle(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A referee's whistle: two close tones that a rolling pea makes tremble, in a breath of air."""
    t = time_axis(duration, sample_rate)
    pitch, interval, trill = rng.uniform(2300, 2700), rng.uniform(1.1, 1.16), rng.uniform(22, 32)
    pea = tone(cycles(trill, t))
    low_tone, high_tone = (tone(cycles(f * (1 + 0.025 * pea), t)) for f in (pitch, pitch * interval))
    air = noise(rng, t, pitch, 2 * pitch)
    return (low_tone + 0.7 * high_tone + 0.12 * air) * (0.58 - 0.42 * pea) * arch(t, 0.02, 0.04)


def siren(rng: Generator, duration: float, sample_rate: int) -> Array:
    """An emergency siren: a bright tone that sweeps up and down by an octave."""
    t = time_axis(duration, sample_rate)
    lowest, octaves = rng.uniform(550, 700), rng.uniform(0.9, 1.2)
    period, start = rng.uniform(0.6, 1.1), rng.uniform(0, 1)
    height = 0.5 + 0.5 * tone(t * np.float32(1 / period) + np.float32(start))
    pitch = lowest * 2 ** (octaves * height)
    return harmonics(cycles(pitch, t), [1, 0.5, 0.35, 0.15, 0.1]) * arch(t, 0.05, 0.08)


# ---------------------------------------------------------------------------------------------------------------- noise


def rain(rng: Generator, duration: float, sample_rate: int) -> Array:
    """Rain: an even hiss, and single drops that spatter on top of it."""
    t = time_axis(duration, sample_rate)
    lowest, drops_a_second = rng.uniform(700, 1200), rng.uniform(60, 160)
    hiss = noise(rng, t, lowest, rng.uniform(6000, 9000))
    num_drops = round(drops_a_second * duration)
    onset, pitch = rng.uniform(0, duration, num_drops), rng.uniform(1500, 6000, num_drops)
    size = rng.exponential(1.6, num_drops).astype(np.float32)
    since = time_axis(0.008, sample_rate)  # seconds since a drop fell
    drops = size[:, None] * tone(np.outer(pitch, since).astype(np.float32)) * fade(since, 0.002)
    spatter = np.zeros(len(t) + len(since), np.float32)
    np.add.at(spatter, (onset * sample_rate).astype(int)[:, None] + np.arange(len(since)), drops)
    return (hiss + spatter[: len(t)]) * arch(t, 0.08, 0.12)


def wind(rng: Generator, duration: float, sample_rate: int) -> Array:
    """Howling wind: a narrow band of noise whose pitch and strength drift with the gusts, above a dull rush."""
    t = time_axis(duration, sample_rate)
    lowest, octaves = rng.uniform(280, 380), rng.uniform(0.9, 1.4)
    gust = wander(rng, t, 3, 0, 1)
    unrest = noise(rng, t, 5, 60)  # this fast, a tremble in pitch is heard as breath
    howl = tone(cycles(lowest * 2 ** (octaves * gust) * (1 + 0.12 * unrest), t))
    rush = noise(rng, t, 60, 250)
    return (howl * (0.25 + gust) + 0.5 * rush * (0.4 + gust)) * arch(t, 0.2, 0.3)


def wave(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A sea wave: a low roar swells, breaks into white foam and runs out in a fading hiss."""
    t = time_axis(duration, sample_rate)
    crash, depth, foaminess = rng.uniform(0.35, 0.5) * duration, rng.uniform(350, 600), rng.uniform(2500, 4000)
    before = t < crash
    swell = bump(t, crash, 0.16 * duration) * before + bump(t, crash, 0.3 * duration) * ~before
    break_ = bump(t, crash, 0.07 * duration) * before + bump(t, crash, 0.2 * duration) * ~before
    roar, foam = noise(rng, t, 80, depth), noise(rng, t, 500, foaminess)
    return (0.8 * roar * swell + foam * break_) * arch(t, 0.1, 0.15)


# -------------------------------------------------------------------------------------------------------------- impacts


def knock(rng: Generator, duration: float, sample_rate: int) -> Array:
    """Knuckles on a wooden door: a few dull, quickly damped modes behind a dry click."""
    t = time_axis(duration, sample_rate)
    door, damping = rng.uniform(300, 420), rng.uniform(0.8, 1.3)
    modes = np.array([1.0, 1.7, 2.6, 3.9, 5.8])
    wood = ring(t, door * modes, damping * 0.05 / modes**0.5, [1, 0.8, 0.6, 0.5, 0.4])
    knuckles = noise(rng, t, 500, 5000) * fade(t, 0.008)
    return wood + 1.2 * knuckles


def drum(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A tom: the pitch of the skin falls while it booms, after the slap of the stick."""
    t = time_axis(duration, sample_rate)
    pitch, tension, decay = rng.uniform(140, 180), rng.uniform(0.4, 0.7), rng.uniform(0.09, 0.14)
    skin = cycles(pitch * (1 + tension * fade(t, 0.05)), t)
    first, second, third = tone(skin), tone(skin * np.float32(1.59)), tone(skin * np.float32(2.14))
    boom = first * fade(t, decay) + (0.7 * second + 0.4 * third) * fade(t, decay / 2)
    slap = noise(rng, t, 200, 4000) * fade(t, 0.015)
    return boom + 0.4 * slap


def glass(rng: Generator, duration: float, sample_rate: int) -> Array:
    """Two glasses that clink: thin, high partials, far from harmonic, that ring out."""
    t = time_axis(duration, sample_rate)
    lowest, brightness = rng.uniform(1900, 2500), rng.uniform(0.7, 1.0)
    ratios = np.array([1.0, 1.07, 1.52, 1.93, 2.31, 2.76, 3.2]) * rng.uniform(0.97, 1.03, 7)
    decays = rng.uniform(0.06, 0.13, 7) / ratios**0.5
    tick = noise(rng, t, 4000, 9000) * fade(t, 0.004)
    return ring(t, lowest * ratios, decays, brightness ** np.arange(7)) + 0.5 * tick


def thunder(rng: Generator, duration: float, sample_rate: int) -> Array:
    """Thunder: a few cracks within the first moments, then a low rumble that rolls away."""
    t = time_axis(duration, sample_rate)
    crack = np.zeros_like(t)
    for moment in np.append(0.02, rng.uniform(0.02, 0.35, 3) * duration):
        first = int(moment * sample_rate)
        crack[first:] += rng.uniform(0.4, 1.0) * fade(t[: len(t) - first], rng.uniform(0.03, 0.09))
    roll = fade(t, 0.45 * duration) * wander(rng, t, 8, 0.3, 1.2)
    burst, rumble = noise(rng, t, 120, 2000), noise(rng, t, 70, rng.uniform(160, 230))
    return (0.6 * crack * burst + roll * rumble) * arch(t, 0.02, 0.4)


# ------------------------------------------------------------------------------------------------------------- machines


def engine(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A running engine: quick explosions, every fourth a little stronger, in a rattling metal body."""
    t = time_axis(duration, sample_rate)
    firing_rate = rng.uniform(55, 85) * wander(rng, t, 2, 0.95, 1.12)
    firing, limp = cycles(firing_rate, t), rng.uniform(0.2, 0.4)
    body = harmonics(firing, rng.uniform(0.3, 1.0, 18) / np.arange(1, 19) ** 0.7)
    rattle = noise(rng, t, 200, 1400) * (1 - firing)
    return (body + 0.7 * rattle) * (1 + limp * tone(cycles(firing_rate / 4, t))) * arch(t, 0.12, 0.15)


def helicopter(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A large helicopter: rotor blades chop noise about seven times a second, under a thin turbine whine."""
    t = time_axis(duration, sample_rate)
    blades_a_second, sharpness, turbine = rng.uniform(6, 8), rng.uniform(4, 6), rng.uniform(2400, 3200)
    chop = np.exp(-np.float32(sharpness) * cycles(blades_a_second, t))
    air = noise(rng, t, 90, rng.uniform(800, 1400))
    whine = tone(cycles(turbine, t))
    return (air * (0.06 + chop) + 0.04 * whine) * arch(t, 0.15, 0.2)


def horn(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A car horn: two reedy notes a third apart, steady and bright."""
    t = time_axis(duration, sample_rate)
    pitch, interval = rng.uniform(370, 440), rng.uniform(1.19, 1.26)
    reed = 1 / np.arange(1, 13) ** 0.6
    return (harmonics(cycles(pitch, t), reed) + harmonics(cycles(interval * pitch, t), reed)) * arch(t, 0.015, 0.03)


# -------------------------------------------------------------------------------------------------------------- animals


def dog(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A bark: a hoarse voice that jumps up and falls while the mouth snaps open and shut."""
    t = time_axis(duration, sample_rate)
    size, hoarseness = rng.uniform(0.85, 1.25), rng.uniform(0.35, 0.55)
    peak = 0.26 * duration
    mouth = np.where(t < peak, bump(t, peak, 0.11 * duration), bump(t, peak, 0.22 * duration))
    pitch = size * (230 + 330 * mouth)
    throat = voice(pitch, t, 12, (size * (450 + 650 * mouth), 250, 1.0), (size * 2100, 500, 0.4))
    return (throat + hoarseness * noise(rng, t, 600 * size, 2600)) * mouth * arch(t, 0.01, 0.03)


def cat(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A meow: a clear voice that rises and sinks while the mouth goes from 'm' to 'ee' to 'ow'."""
    t = time_axis(duration, sample_rate)
    base, lift = rng.uniform(480, 600), rng.uniform(0.35, 0.55)
    mouth = bump(t, 0.42 * duration, 0.2 * duration)
    pitch = base * (1 + lift * bump(t, 0.36 * duration, 0.24 * duration))
    throat = voice(pitch, t, 9, (900 + 1500 * mouth, 500, 1.0), (pitch, 200, 0.3))
    return throat * (0.25 + mouth) * arch(t, 0.08, 0.15)


def bird(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A chirp: a pure high tone that swoops down and up again."""
    t = time_axis(duration, sample_rate)
    top, depth, flutter = rng.uniform(4600, 5600), rng.uniform(0.3, 0.42), rng.uniform(16, 24)
    swoop = np.abs(2 * t / t[-1] - 1) ** 1.5
    song = cycles(top * (1 - depth * (1 - swoop) + 0.04 * tone(cycles(flutter, t))), t)
    return harmonics(song, [1, 0.15]) * (0.3 + bump(t, 0.5 * duration, 0.25 * duration)) * arch(t, 0.03, 0.05)


def duck(rng: Generator, duration: float, sample_rate: int) -> Array:
    """A quack: a low buzzing voice squeezed through a narrow, nasal bill."""
    t = time_axis(duration, sample_rate)
    pitch = np.float32(rng.uniform(190, 240)) * (1.12 - 0.25 * t / t[-1])
    bill = voice(pitch, t, 20, (rng.uniform(1100, 1350), 220, 1.0), (rng.uniform(2500, 2900), 350, 0.6))
    return bill * (1 + 0.3 * tone(cycles(pitch / 2, t))) * arch(t, 0.02, 0.09)
