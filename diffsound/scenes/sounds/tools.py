"""Tools."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, harmonics, noise, ring, tone

sound = family("tools")


@sound(momentary=False, seconds=(1.2, 2.4), rate=(1.4, 3.4), words=Words(
    ("someone saws wood", "a handsaw cuts wood", "a carpenter saws"),
    ("someone sawing wood", "a handsaw cutting wood", "a carpenter sawing"),
    ("a handsaw", "the sound of sawing", "a saw")))
def saw(rng: Generator, t: Array, rate: float) -> Array:
    """A handsaw: strokes to and fro, a rising rasp and a falling one, teeth felt as a roughness."""
    stroke = cycles(rate, t)
    speed = np.abs(np.sin(2 * np.pi * stroke)).astype(np.float32)
    forth = stroke < 0.5
    teeth = 0.6 + 0.4 * tone(cycles(120 * (0.4 + speed), t))
    rasp = np.where(forth, noise(rng, t, 1500, 3200), noise(rng, t, 700, 1700))
    return rasp * speed * teeth * arch(t, 0.05, 0.08)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(170, 420), words=Words(
    ("a drill whirrs", "someone drills", "an electric drill runs"),
    ("a drill whirring", "someone drilling", "an electric drill running"),
    ("a drill", "an electric drill", "a whirring drill")))
def drill(rng: Generator, t: Array, pitch: float) -> Array:
    """An electric drill: it runs up, whines with grinding gears, and runs down."""
    speed = np.minimum(1, 0.45 + 2.2 * t) * np.minimum(1, 0.4 + 2.6 * (t[-1] - t))
    motor = cycles(pitch * speed * (1 + 0.015 * noise(rng, t, 5, 30)), t)
    whine = harmonics(motor, [0.4, 0.2, 1, 0.3, 0.2, 0.7, 0.15, 0.1, 0.4])
    return (whine + 0.25 * noise(rng, t, 2000, 5000)) * arch(t, 0.04, 0.08)


@sound(momentary=True, seconds=(0.2, 0.32), pitch=(1300, 3000), words=Words(
    ("a hammer hits metal", "someone hammers metal", "a smith strikes an anvil"),
    ("a hammer hitting metal", "someone hammering metal", "a smith striking an anvil"),
    ("a hammer on metal",), ("hammer blow", "hammer stroke", "hammer strike")))
def hammer(rng: Generator, t: Array, pitch: float) -> Array:
    """A hammer on an anvil: a hard crack and a bright clang of few, dense partials."""
    ratios = np.array([1.0, 1.34, 1.71, 2.43, 2.9]) * rng.uniform(0.98, 1.02, 5)
    clang = ring(t, pitch * ratios, 0.08 / ratios**0.5, [1, 0.8, 0.7, 0.6, 0.4])
    return clang + 1.5 * noise(rng, t, 800, 8000) * fade(t, 0.006)


@sound(momentary=True, seconds=(0.2, 0.32), words=Words(
    ("an axe chops wood", "someone chops wood", "an axe splits a log"),
    ("an axe chopping wood", "someone chopping wood", "an axe splitting a log"),
    ("an axe on wood",), ("axe stroke", "axe chop", "axe blow")))
def axe(rng: Generator, t: Array) -> Array:
    """An axe into a log: a low thud, and the crackle of wood that splits."""
    thud = tone(cycles(rng.uniform(95, 130) * (1 + 0.6 * fade(t, 0.02)), t)) * fade(t, 0.05)
    since = np.maximum(t - 0.03, 0)
    split = noise(rng, t, 1200, 4500) * (t > 0.03) * fade(since, 0.035) * (tone(cycles(90, t)) > 0)
    return 1.4 * thud + noise(rng, t, 300, 3000) * fade(t, 0.01) + 0.7 * split


@sound(momentary=True, seconds=(0.35, 0.5), words=Words(
    ("a zipper zips", "someone closes a zipper", "a zip is closed"),
    ("a zipper zipping", "someone closing a zipper", "a zip being closed"),
    ("the sound of a zipper",), ("zip", "zipper sound")))
def zipper(rng: Generator, t: Array) -> Array:
    """A zipper: tooth after tooth, faster and brighter to the end."""
    x = t / t[-1]
    teeth = cycles(60 + rng.uniform(120, 170) * x, t)
    tick = np.exp(-6 * teeth)
    return (noise(rng, t, 2500, 9000) * (0.3 + x) + 0.4 * tone(cycles(1500 + 2500 * x, t))) * tick * arch(t, 0.03, 0.02)
