"""Vehicles."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, bump, cycles, harmonics, noise, tone, wander

sound = family("vehicles")


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(40, 105), words=Words(
    ("an engine runs", "an engine hums", "a motor runs"), ("an engine running", "a motor running", "an engine humming"),
    ("an engine", "a running engine", "a humming motor")))
def engine(rng: Generator, t: Array, pitch: float) -> Array:
    """A running engine: quick explosions, every fourth a little stronger, in a rattling metal body."""
    firing_rate = pitch * wander(rng, t, 2, 0.95, 1.12)
    firing, limp = cycles(firing_rate, t), rng.uniform(0.2, 0.4)
    body = harmonics(firing, rng.uniform(0.3, 1.0, 18) / np.arange(1, 19) ** 0.7)
    rattle = noise(rng, t, 200, 1400) * (1 - firing)
    return (body + 0.7 * rattle) * (1 + limp * tone(cycles(firing_rate / 4, t))) * arch(t, 0.12, 0.15)


@sound(momentary=False, seconds=(1.0, 2.4), rate=(4.5, 11), words=Words(
    ("a helicopter flies overhead", "a helicopter flies by", "a helicopter hovers"),
    ("a helicopter flying", "a helicopter flying overhead", "a helicopter hovering"),
    ("a helicopter", "a flying helicopter", "a hovering helicopter")))
def helicopter(rng: Generator, t: Array, rate: float) -> Array:
    """A large helicopter: rotor blades chop noise, under a thin turbine whine."""
    chop = np.exp(-np.float32(rng.uniform(4, 6)) * cycles(rate, t))
    air = noise(rng, t, 90, rng.uniform(800, 1400))
    whine = tone(cycles(rng.uniform(2400, 3200), t))
    return (air * (0.06 + chop) + 0.04 * whine) * arch(t, 0.15, 0.2)


@sound(momentary=True, seconds=(0.35, 0.6), pitch=(270, 560), words=Words(
    ("a car honks", "a car horn sounds", "a driver honks"),
    ("a car honking", "a car horn sounding", "a driver honking"),
    ("a honking car", "the sound of a car horn"), ("car honk", "honk", "horn blast")))
def horn(rng: Generator, t: Array, pitch: float) -> Array:
    """A car horn: two reedy notes a third apart, steady and bright."""
    reed, interval = 1 / np.arange(1, 13) ** 0.6, rng.uniform(1.19, 1.26)
    return (harmonics(cycles(pitch, t), reed) + harmonics(cycles(interval * pitch, t), reed)) * arch(t, 0.015, 0.03)


@sound(momentary=False, seconds=(1.2, 2.4), rate=(2.0, 5.0), words=Words(
    ("a steam train chugs", "a train puffs along", "a steam engine chuffs"),
    ("a steam train chugging", "a train puffing along", "a steam engine chuffing"),
    ("a steam train", "a chugging train", "a puffing locomotive")))
def train(rng: Generator, t: Array, rate: float) -> Array:
    """A steam train: puffs of steam, the first of every four stronger, above rolling wheels."""
    puff = cycles(rate, t)
    accent = 1 + 0.7 * (cycles(rate / 4, t) < 0.25)
    steam = noise(rng, t, 350, 2200) * np.exp(-5 * puff) * np.minimum(puff * 20, 1) * accent
    return (steam + 0.15 * noise(rng, t, 50, 160)) * arch(t, 0.1, 0.15)


@sound(momentary=False, seconds=(1.4, 2.4), words=Words(
    ("an aeroplane flies over", "a jet passes by", "a plane passes overhead"),
    ("an aeroplane flying over", "a jet passing by", "a plane passing overhead"),
    ("an aeroplane", "a passing jet", "a plane")))
def aeroplane(rng: Generator, t: Array) -> Array:
    """A jet that passes: a broad roar that swells and fades, over a whine that sinks as it goes."""
    duration = float(t[-1])
    passing = bump(t, rng.uniform(0.4, 0.6) * duration, 0.24 * duration)
    fall = 1.25 - 0.45 * t / t[-1]
    whine = tone(cycles(rng.uniform(900, 1300) * fall, t)) + 0.6 * tone(cycles(rng.uniform(1500, 2100) * fall, t))
    return (noise(rng, t, 120, 700) + 0.22 * whine) * (0.12 + passing) * arch(t, 0.15, 0.2)
