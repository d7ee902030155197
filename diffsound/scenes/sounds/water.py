"""Water."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, bump, cycles, fade, grains, noise, tone

sound = family("water")


@sound(momentary=False, seconds=(1.2, 2.4), words=Words(
    ("a wave breaks", "a sea wave crashes", "an ocean wave breaks"),
    ("a wave breaking", "a sea wave crashing", "an ocean wave breaking"),
    ("a breaking wave", "an ocean wave", "surf")))
def wave(rng: Generator, t: Array) -> Array:
    """A sea wave: a low roar swells, breaks into white foam and runs out in a fading hiss."""
    duration = float(t[-1])
    crash, depth, foaminess = rng.uniform(0.35, 0.5) * duration, rng.uniform(350, 600), rng.uniform(2500, 4000)
    before = t < crash
    swell = bump(t, crash, 0.16 * duration) * before + bump(t, crash, 0.3 * duration) * ~before
    break_ = bump(t, crash, 0.07 * duration) * before + bump(t, crash, 0.2 * duration) * ~before
    roar, foam = noise(rng, t, 80, depth), noise(rng, t, 500, foaminess)
    return (0.8 * roar * swell + foam * break_) * arch(t, 0.1, 0.15)


@sound(momentary=False, seconds=(1.0, 2.4), words=Words(
    ("a stream babbles", "a brook babbles", "a creek flows"),
    ("a stream babbling", "a brook babbling", "a creek flowing"),
    ("a stream", "a babbling brook", "a flowing creek")))
def stream(rng: Generator, t: Array) -> Array:
    """A brook: many small bubbles, each a short tone that rises as it closes, over a soft rush."""
    bubbles = grains(rng, t, rng.uniform(45, 70), (350, 1100), 0.022, rise=0.6)
    return (bubbles + 0.12 * noise(rng, t, 300, 1500)) * arch(t, 0.1, 0.15)


@sound(momentary=True, seconds=(0.18, 0.28), pitch=(750, 1900), words=Words(
    ("water drips", "a tap drips", "a drop of water falls"),
    ("water dripping", "a tap dripping", "a drop of water falling"),
    ("a dripping tap", "the sound of a drip"), ("water drip", "drip", "water drop")))
def drip(rng: Generator, t: Array, pitch: float) -> Array:
    """A drop into a basin: a tiny click, then a bubble whose tone slides up."""
    plink = tone(cycles(pitch * (1 + rng.uniform(0.5, 0.8) * t / t[-1]), t))
    since = np.maximum(t - 0.02, 0)
    click = noise(rng, t, 2000, 7000) * fade(t, 0.003)
    return plink * fade(since, 0.045) * (t > 0.02) + 0.4 * click


@sound(momentary=True, seconds=(0.5, 0.7), words=Words(
    ("water splashes", "something splashes into water", "someone jumps into water"),
    ("water splashing", "something splashing into water", "someone jumping into water"),
    ("the sound of a splash",), ("splash", "water splash")))
def splash(rng: Generator, t: Array) -> Array:
    """A stone into a pond: a slap, a hollow gulp, and drops that rain back."""
    gulp = tone(cycles(rng.uniform(150, 220) * (1 + 1.2 * t / t[-1]), t)) * bump(t, 0.09, 0.04)
    spray = noise(rng, t, 900, 7000) * (fade(t, 0.05) + 0.7 * bump(t, 0.2, 0.07))
    back = grains(rng, t, 70, (1200, 3500), 0.006) * bump(t, 0.35, 0.12)
    return (spray + 1.3 * gulp + 0.5 * back) * arch(t, 0.004, 0.15)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(180, 480), rate=(5, 13), words=Words(
    ("water bubbles", "a pot boils", "something bubbles under water"),
    ("water bubbling", "a pot boiling", "something bubbling under water"),
    ("bubbles", "a boiling pot", "bubbling water")))
def bubbles(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """Air that rises through water: round blubs, one after the other, each sliding up."""
    position = cycles(rate * (1 + 0.15 * noise(rng, t, 1, 6)), t)
    blub = tone(cycles(pitch * (1 + 1.4 * position), t)) * np.exp(-5 * position) * np.minimum(position * 25, 1)
    return (blub + 0.1 * noise(rng, t, 150, 700)) * arch(t, 0.08, 0.12)
