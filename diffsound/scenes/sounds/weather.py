"""Weather."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, grains, noise, tone, wander

sound = family("weather")


@sound(momentary=False, seconds=(1.0, 2.4), words=Words(
    ("it rains", "rain falls", "rain pours down"), ("rain falling", "rain pouring down"),
    ("rain", "falling rain", "a shower of rain")))
def rain(rng: Generator, t: Array) -> Array:
    """Rain: an even hiss, and single drops that spatter on top of it."""
    hiss = noise(rng, t, rng.uniform(700, 1200), rng.uniform(6000, 9000))
    drops = grains(rng, t, rng.uniform(60, 160), (1500, 6000), 0.002)
    return (hiss + drops) * arch(t, 0.08, 0.12)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(220, 560), words=Words(
    ("the wind blows", "wind howls", "the wind howls", "a gale blows"),
    ("wind blowing", "wind howling", "a gale blowing"), ("wind", "howling wind", "a gale")))
def wind(rng: Generator, t: Array, pitch: float) -> Array:
    """Howling wind: a narrow band of noise whose pitch and strength drift with the gusts, above a dull rush."""
    gust = wander(rng, t, 3, 0, 1)
    unrest = noise(rng, t, 5, 60)  # this fast, a tremble in pitch is heard as breath
    howl = tone(cycles(pitch * 2 ** (rng.uniform(0.7, 1.0) * gust) * (1 + 0.12 * unrest), t))
    rush = noise(rng, t, 60, 250)
    return (howl * (0.25 + gust) + 0.5 * rush * (0.4 + gust)) * arch(t, 0.2, 0.3)


@sound(momentary=False, seconds=(1.2, 2.4), words=Words(
    ("thunder rumbles", "thunder rolls", "it thunders"), ("thunder rumbling", "thunder rolling"),
    ("thunder", "rumbling thunder", "a roll of thunder")))
def thunder(rng: Generator, t: Array) -> Array:
    """Thunder: a few cracks within the first moments, then a low rumble that rolls away."""
    crack, duration = np.zeros_like(t), float(t[-1])
    for moment in np.append(0.02, rng.uniform(0.02, 0.35, 3) * duration):
        first = int(moment / t[1])
        crack[first:] += rng.uniform(0.4, 1.0) * fade(t[: len(t) - first], rng.uniform(0.03, 0.09))
    roll = fade(t, 0.45 * duration) * wander(rng, t, 8, 0.3, 1.2)
    burst, rumble = noise(rng, t, 120, 2000), noise(rng, t, 70, rng.uniform(160, 230))
    return (0.6 * crack * burst + roll * rumble) * arch(t, 0.02, 0.4)


@sound(momentary=False, seconds=(1.0, 2.4), words=Words(
    ("a fire crackles", "flames crackle", "a campfire burns"),
    ("a fire crackling", "flames crackling", "a campfire burning"),
    ("a fire", "a crackling fire", "crackling flames")))
def fire(rng: Generator, t: Array) -> Array:
    """An open fire: sharp snaps of very different strength, above a low flutter of flames."""
    flutter = noise(rng, t, 60, 220) * wander(rng, t, 12, 0.2, 1)
    snaps = grains(rng, t, rng.uniform(14, 24), (1200, 5000), 0.004, spread=2.0)
    return (0.3 * flutter + snaps) * arch(t, 0.1, 0.15)
