"""Impacts."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, grains, noise, ring, tone

sound = family("impacts")


@sound(momentary=True, seconds=(0.2, 0.28), pitch=(230, 500), words=Words(
    ("someone knocks on a door", "someone knocks", "a person knocks on wood"),
    ("someone knocking on a door", "a person knocking", "someone knocking on wood"),
    units=("knock", "door knock")))
def knock(rng: Generator, t: Array, pitch: float) -> Array:
    """Knuckles on a wooden door: a few dull, quickly damped modes behind a dry click."""
    modes = np.array([1.0, 1.7, 2.6, 3.9, 5.8])
    wood = ring(t, pitch * modes, rng.uniform(0.8, 1.3) * 0.05 / modes**0.5, [1, 0.8, 0.6, 0.5, 0.4])
    return wood + 1.2 * noise(rng, t, 500, 5000) * fade(t, 0.008)


@sound(momentary=True, seconds=(0.3, 0.45), pitch=(95, 230), words=Words(
    ("a drum is hit", "someone hits a drum", "a drum sounds"),
    ("a drum being hit", "someone hitting a drum", "a drum sounding"),
    ("the sound of a drum",), ("drum hit", "drum beat", "drum stroke")))
def drum(rng: Generator, t: Array, pitch: float) -> Array:
    """A tom: the pitch of the skin falls while it booms, after the slap of the stick."""
    tension, decay = rng.uniform(0.4, 0.7), rng.uniform(0.09, 0.14)
    skin = cycles(pitch * (1 + tension * fade(t, 0.05)), t)
    first, second, third = tone(skin), tone(skin * np.float32(1.59)), tone(skin * np.float32(2.14))
    boom = first * fade(t, decay) + (0.7 * second + 0.4 * third) * fade(t, decay / 2)
    return boom + 0.4 * noise(rng, t, 200, 4000) * fade(t, 0.015)


@sound(momentary=True, seconds=(0.3, 0.45), pitch=(1500, 3200), words=Words(
    ("a glass clinks", "glass clinks", "glasses clink"), ("a glass clinking", "glass clinking", "glasses clinking"),
    ("a clinking glass",), ("glass clink", "clink")))
def glass(rng: Generator, t: Array, pitch: float) -> Array:
    """Two glasses that clink: thin, high partials, far from harmonic, that ring out."""
    ratios = np.array([1.0, 1.07, 1.52, 1.93, 2.31, 2.76, 3.2]) * rng.uniform(0.97, 1.03, 7)
    tick = noise(rng, t, 4000, 9000) * fade(t, 0.004)
    return ring(t, pitch * ratios, rng.uniform(0.06, 0.13, 7) / ratios**0.5,
                rng.uniform(0.7, 1.0) ** np.arange(7)) + 0.5 * tick


@sound(momentary=True, seconds=(0.6, 0.85), words=Words(
    ("glass breaks", "a window shatters", "a bottle is smashed"),
    ("glass breaking", "a window shattering", "a bottle being smashed"),
    ("breaking glass", "a shattering window"), ("glass crash",)))
def shatter(rng: Generator, t: Array) -> Array:
    """Breaking glass: a crash of noise, then shards that tinkle down."""
    crash = noise(rng, t, 1500, 9000) * fade(t, 0.05)
    shards = grains(rng, t, 90, (2500, 7500), 0.012) * fade(t, 0.3)
    return (1.2 * crash + shards) * arch(t, 0.002, 0.1)


@sound(momentary=True, seconds=(0.4, 0.6), words=Words(
    ("a door slams", "someone slams a door", "a door is slammed shut"),
    ("a door slamming", "someone slamming a door", "a door being slammed shut"),
    ("a slamming door",), ("door slam", "slam")))
def slam(rng: Generator, t: Array) -> Array:
    """A slammed door: a heavy thump that shakes its frame, and a rattle of the latch."""
    thump = tone(cycles(rng.uniform(58, 78), t)) * fade(t, 0.11) + noise(rng, t, 50, 300) * fade(t, 0.07)
    latch = noise(rng, t, 1500, 4000) * np.exp(-6 * cycles(28, t)) * fade(t, 0.05)
    return 1.3 * thump + 0.5 * latch + 0.6 * noise(rng, t, 300, 3000) * fade(t, 0.012)


@sound(momentary=True, seconds=(0.6, 0.85), words=Words(
    ("something explodes", "a bomb explodes", "a firework bursts"),
    ("something exploding", "a bomb exploding", "a firework bursting"),
    ("the sound of a blast",), ("explosion", "blast")))
def explosion(rng: Generator, t: Array) -> Array:
    """An explosion: a bang of all frequencies that darkens into a rumble."""
    bang = noise(rng, t, 200, 6000) * fade(t, 0.06)
    middle, low = noise(rng, t, 80, 700) * fade(t, 0.16), noise(rng, t, 40, 140) * fade(t, 0.35)
    return (bang + middle + 0.9 * low) * arch(t, 0.002, 0.12)
