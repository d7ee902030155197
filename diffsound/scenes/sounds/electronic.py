"""Electronic sounds."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, grains, harmonics, noise, tone

sound = family("electronic")


@sound(momentary=True, seconds=(0.25, 0.4), pitch=(600, 1500), words=Words(
    ("a machine beeps", "a device beeps", "a microwave beeps"),
    ("a machine beeping", "a device beeping", "a microwave beeping"),
    ("a beeping device", "a beeping microwave"), ("beep", "electronic beep")))
def beep(rng: Generator, t: Array, pitch: float) -> Array:
    """A steady electronic tone that starts and stops at once."""
    edge = rng.uniform(0.02, 0.12)
    return harmonics(cycles(pitch, t), [1, 0, edge, 0, edge / 2]) * arch(t, 0.004, 0.004)


@sound(momentary=True, seconds=(0.28, 0.42), pitch=(1400, 3600), words=Words(
    ("a laser fires", "a ray gun zaps", "someone fires a laser gun"),
    ("a laser firing", "a ray gun zapping", "someone firing a laser gun"),
    ("the sound of a ray gun",), ("laser shot", "zap", "laser zap")))
def zap(rng: Generator, t: Array, pitch: float) -> Array:
    """A toy ray gun: a tone that falls by three octaves at once."""
    fall = cycles(pitch * 2 ** (-3.2 * t / t[-1]), t)
    return harmonics(fall, [1, 0.4, 0.3, 0.15, 0.1]) * arch(t, 0.004, 0.06)


@sound(momentary=False, seconds=(1.0, 2.4), words=Words(
    ("a radio hisses with static", "static crackles", "a radio crackles"),
    ("radio static hissing", "static crackling", "a radio crackling"),
    ("static", "radio static", "the static of a radio")))
def static(rng: Generator, t: Array) -> Array:
    """Radio static: flat hiss that breaks off and returns, with sharp crackles and a far whistle."""
    drop = (noise(rng, t, 1, 9) > -0.9).astype(np.float32)
    whistle = tone(cycles(900 + 500 * tone(cycles(rng.uniform(0.4, 0.9), t)), t))
    crackle = grains(rng, t, 25, (3000, 9000), 0.0015, spread=1.5)
    return (noise(rng, t, 2500, 10000) * (0.15 + 0.85 * drop) + 0.12 * whistle + crackle) * arch(t, 0.02, 0.03)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(45, 110), words=Words(
    ("a transformer hums", "mains electricity hums", "a power line hums"),
    ("a transformer humming", "mains electricity humming", "a power line humming"),
    ("a humming transformer", "mains hum", "an electric hum")))
def hum(rng: Generator, t: Array, pitch: float) -> Array:
    """Mains hum: a motionless low tone and its even overtones."""
    strengths = rng.uniform(0.4, 1.0, 10) / np.arange(1, 11) ** 0.5
    strengths[::2] *= 0.35
    return harmonics(cycles(2 * pitch, t), strengths) * arch(t, 0.06, 0.08)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(450, 1100), rate=(5, 12), words=Words(
    ("a computer bleeps", "a robot bleeps", "a video game plays bleeps"),
    ("a computer bleeping", "a robot bleeping", "a video game bleeping"),
    ("a bleeping robot", "a bleeping computer", "the bleeps of a video game")))
def robot(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """A robot that talks: quick square bleeps, each on another note."""
    number = np.floor(np.arange(len(t)) * (rate * float(t[1]))).astype(int)
    notes = pitch * 2 ** rng.uniform(-0.7, 0.9, number[-1] + 1)
    bleep = cycles(rate, t)
    gate = np.minimum(bleep * 20, 1) * np.clip((0.8 - bleep) * 20, 0, 1)
    return (harmonics(cycles(notes[number], t), [1, 0, 1 / 3, 0, 1 / 5]) * gate).astype(np.float32) * arch(t, 0.005,
                                                                                                           0.005)


@sound(momentary=True, seconds=(0.35, 0.5), pitch=(500, 1100), words=Words(
    ("a message arrives", "a phone notification sounds", "a notification pings"),
    ("a message arriving", "a phone notification sounding", "a notification pinging"),
    ("the sound of a notification",), ("ping", "notification ping", "message tone")))
def ping(rng: Generator, t: Array, pitch: float) -> Array:
    """A notification: two quick, round notes, the second a fifth higher."""
    half = 0.3 * float(t[-1])
    since = np.maximum(t - half, 0)
    first = harmonics(cycles(pitch, t), [1, 0.3]) * fade(t, 0.07) * (t < half)
    second = harmonics(cycles(1.5 * pitch, t), [1, 0.3]) * fade(since, 0.1) * (t >= half)
    return (first + second) * arch(t, 0.004, 0.03)
