"""Household."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, harmonics, noise, ring, tone, wander

sound = family("household")


@sound(momentary=False, seconds=(1.2, 2.4), rate=(2.4, 6.5), words=Words(
    ("a clock ticks", "a clock goes tick tock", "a watch ticks"),
    ("a clock ticking", "clock ticking", "a watch ticking"),
    ("a ticking clock", "the ticking of a clock")))
def clock(rng: Generator, t: Array, rate: float) -> Array:
    """A clock: dry ticks, every other one a little lower."""
    tick, which = cycles(rate, t), cycles(rate / 2, t) < 0.5
    since = tick * np.float32(1 / rate)
    high, low = (tone(np.float32(f) * since) for f in (rng.uniform(2600, 3400), rng.uniform(1700, 2300)))
    return (np.where(which, high, low) + 0.5 * noise(rng, t, 2000, 8000)) * fade(since, 0.008) * arch(t, 0.01, 0.02)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(170, 380), words=Words(
    ("a vacuum cleaner runs", "someone vacuums", "a vacuum cleaner hums"),
    ("a vacuum cleaner running", "someone vacuuming", "a vacuum cleaner humming"),
    ("a vacuum cleaner", "a running vacuum cleaner")))
def vacuum_cleaner(rng: Generator, t: Array, pitch: float) -> Array:
    """A vacuum cleaner: a steady motor hum with its overtones, drowned in rushing air."""
    speed = np.minimum(1, 0.6 + 2 * t)
    motor = harmonics(cycles(pitch * speed, t), [0.6, 1, 0.4, 0.5, 0.25, 0.3])
    return (0.8 * motor + noise(rng, t, 400, 2600)) * arch(t, 0.12, 0.2)


@sound(momentary=True, seconds=(0.55, 0.8), pitch=(320, 750), words=Words(
    ("a door creaks", "a hinge squeaks", "an old door creaks"),
    ("a door creaking", "a hinge squeaking", "an old door creaking"),
    ("a creaking door", "a squeaking hinge"), ("door creak", "creak", "squeak")))
def creak(rng: Generator, t: Array, pitch: float) -> Array:
    """A hinge that sticks and slips: ever quicker, then slower pulses that ring through dry wood."""
    x = t / t[-1]
    slip = cycles((25 + 45 * np.sin(np.pi * x)) * wander(rng, t, 10, 0.85, 1.15), t)
    pitches = pitch * (1 + 0.5 * np.sin(np.pi * x))
    wood = harmonics(cycles(pitches, t), [1, 0.6, 0.8, 0.3, 0.4])
    return wood * np.exp(-3 * slip) * arch(t, 0.06, 0.1)


@sound(momentary=False, seconds=(1.0, 2.4), rate=(5, 13), words=Words(
    ("someone types", "someone types on a keyboard", "keys of a keyboard clatter"),
    ("someone typing", "someone typing on a keyboard", "keyboard typing"),
    ("the clatter of a keyboard", "typing")))
def typing(rng: Generator, t: Array, rate: float) -> Array:
    """A keyboard: light clicks in an uneven rhythm, each a press and a softer release."""
    result, now = np.zeros_like(t), 0.01
    click = noise(rng, t, 1200, 6000)
    while now < t[-1] - 0.05:
        strength = rng.uniform(0.5, 1)
        for moment, size in ((now, strength), (now + rng.uniform(0.035, 0.05), 0.4 * strength)):
            first = int(moment / t[1])
            rest = t[: len(t) - first]
            result[first:] += np.float32(size) * fade(rest, 0.006)
        now += rng.uniform(0.5, 1.5) / rate
    return result * (click + 0.8 * tone(cycles(rng.uniform(350, 450), t)))


@sound(momentary=False, seconds=(1.2, 2.4), pitch=(1300, 2800), words=Words(
    ("a kettle whistles", "a tea kettle whistles", "a kettle shrieks"),
    ("a kettle whistling", "a tea kettle whistling", "a kettle shrieking"),
    ("a whistling kettle", "a shrieking kettle")))
def kettle(rng: Generator, t: Array, pitch: float) -> Array:
    """A kettle: hissing steam, and a whistle that slides up and stays."""
    climb = 1 - 0.35 * fade(t, 0.25)
    whistle = harmonics(cycles(pitch * climb * (1 + 0.006 * noise(rng, t, 4, 12)), t), [1, 0.2, 0.05])
    return (whistle * np.minimum(1, 0.15 + 2 * t) + 0.18 * noise(rng, t, 3500, 9000)) * arch(t, 0.15, 0.1)


@sound(momentary=True, seconds=(0.45, 0.65), pitch=(800, 1900), words=Words(
    ("coins jingle", "someone drops a coin", "a coin falls"),
    ("coins jingling", "someone dropping a coin", "a coin falling"),
    ("a falling coin", "jingling coins"), ("coin drop", "jingle")))
def coin(rng: Generator, t: Array, pitch: float) -> Array:
    """A coin on a table: bright rings, each bounce sooner and weaker than the last."""
    ratios = np.array([2.0, 2.9, 3.7, 5.1]) * rng.uniform(0.98, 1.02, 4)
    result, now, gap, size = np.zeros_like(t), 0.0, float(t[-1]) * rng.uniform(0.34, 0.4), 1.0
    while now < t[-1] - 0.03:
        first = int(now / t[1])
        rest = t[: len(t) - first]
        result[first:] += np.float32(size) * ring(rest, pitch * ratios, np.full(4, 0.05), [1, 0.8, 0.6, 0.4])
        now, gap, size = now + gap, max(0.62 * gap, 0.02), 0.72 * size
    return result
