"""Alarms and bells."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, cycles, fade, harmonics, hump, noise, ring, tone

sound = family("alarms and bells")


@sound(momentary=True, seconds=(0.55, 0.7), pitch=(480, 1100), words=Words(
    ("a bell rings", "a bell chimes", "a bell is struck"), ("a bell ringing", "bell ringing", "a bell chiming"),
    ("a ringing bell", "the sound of a bell"), ("bell chime", "bell ring", "bell stroke")))
def bell(rng: Generator, t: Array, pitch: float) -> Array:
    """A small bell: a struck chord of partials that are not harmonics, the high ones dying first."""
    ratios = np.array([0.5, 1.0, 1.19, 1.5, 2.0, 2.67, 3.01, 4.17, 5.43])
    amplitudes = [0.4, 1.0, 0.6, 0.3, 0.8, 0.45, 0.35, 0.25, 0.15]
    return ring(t, pitch * ratios, rng.uniform(0.8, 1.2) * 0.3 / ratios**0.6, amplitudes)


@sound(momentary=True, seconds=(0.7, 0.85), pitch=(85, 200), words=Words(
    ("a gong sounds", "a gong is struck", "someone strikes a gong"),
    ("a gong sounding", "a gong being struck", "someone striking a gong"),
    ("the sound of a gong",), ("gong stroke", "gong hit")))
def gong(rng: Generator, t: Array, pitch: float) -> Array:
    """A gong: a low hum at once, and a shimmer above it that blooms late."""
    ratios = np.array([1.0, 1.48, 2.13, 2.76, 3.55, 4.4, 5.9, 7.3])
    low = ring(t, pitch * ratios[:3], np.array([0.6, 0.45, 0.35]), [1, 0.7, 0.5])
    high = ring(t, pitch * ratios[3:] * rng.uniform(0.98, 1.02, 5), np.full(5, 0.35), [0.5, 0.5, 0.4, 0.4, 0.3])
    return low + high * np.minimum(t * 6, 1)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(450, 900), rate=(0.8, 2.6), words=Words(
    ("a siren wails", "a siren sounds", "an emergency siren wails"),
    ("a siren wailing", "siren wailing", "a siren sounding"), ("a siren", "a wailing siren", "an emergency siren")))
def siren(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """An emergency siren: a bright tone that sweeps up and down by an octave."""
    height = 0.5 + 0.5 * tone(t * np.float32(rate) + np.float32(rng.uniform(0, 1)))
    sweep = pitch * 2 ** (rng.uniform(0.9, 1.2) * height)
    return harmonics(cycles(sweep, t), [1, 0.5, 0.35, 0.15, 0.1]) * arch(t, 0.05, 0.08)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(1500, 3000), rate=(1.2, 2.6), words=Words(
    ("an alarm clock goes off", "an alarm clock beeps", "a clock alarm sounds"),
    ("an alarm clock going off", "an alarm clock beeping", "a clock alarm sounding"),
    ("an alarm clock", "a beeping alarm clock")))
def alarm_clock(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """A digital alarm clock: four quick pips and a rest, over and over."""
    group, pip = cycles(rate / 2, t), cycles(rate * 4, t)
    gate = (group < 0.5) * hump(pip / 0.6) ** 0.5
    return harmonics(cycles(pitch, t), [1, 0, 0.3, 0, 0.15]) * gate * arch(t, 0.004, 0.004)


@sound(momentary=True, seconds=(0.35, 0.55), pitch=(85, 200), words=Words(
    ("a buzzer sounds", "a buzzer goes off", "someone presses a buzzer"),
    ("a buzzer sounding", "a buzzer going off", "someone pressing a buzzer"),
    ("the sound of a buzzer",), ("buzzer sound", "buzz")))
def buzzer(rng: Generator, t: Array, pitch: float) -> Array:
    """A quiz buzzer: a flat, nasal square wave of two notes that beat."""
    odd = np.where(np.arange(1, 26) % 2, 1 / np.arange(1, 26) ** 0.7, 0.1)
    return (harmonics(cycles(pitch, t), odd) + 0.8 * harmonics(cycles(pitch * 1.02, t), odd)) * arch(t, 0.006, 0.01)


@sound(momentary=True, seconds=(0.6, 0.8), pitch=(1100, 2200), words=Words(
    ("a telephone rings", "a phone rings", "an old telephone rings"),
    ("a telephone ringing", "phone ringing", "an old telephone ringing"),
    ("a ringing telephone", "a ringing phone"), ("phone ring", "telephone ring")))
def telephone(rng: Generator, t: Array, pitch: float) -> Array:
    """An old telephone: a clapper between two small bells, about twenty strokes a second."""
    stroke = cycles(rng.uniform(18, 23), t)
    bells = harmonics(cycles(pitch, t), [1, 0, 0.35]) + harmonics(cycles(pitch * rng.uniform(1.2, 1.28), t),
                                                                  [1, 0, 0.3])
    return bells * (0.25 + np.exp(-4 * stroke)) * arch(t, 0.01, 0.08)


@sound(momentary=True, seconds=(0.7, 0.85), pitch=(420, 800), words=Words(
    ("a doorbell rings", "someone rings the doorbell", "a door chime sounds"),
    ("a doorbell ringing", "someone ringing the doorbell", "a door chime sounding"),
    ("a ringing doorbell", "the sound of a doorbell"), ("doorbell ring", "door chime", "ding dong")))
def doorbell(rng: Generator, t: Array, pitch: float) -> Array:
    """A doorbell: 'ding', and a third lower 'dong'."""
    half = 0.38 * float(t[-1])
    ding = harmonics(cycles(pitch * 1.26, t), [1, 0.12, 0.2, 0.05]) * fade(t, 0.16)
    since = np.maximum(t - half, 0)
    dong = harmonics(cycles(pitch, t), [1, 0.12, 0.2, 0.05]) * fade(since, 0.2) * (t > half)
    return (ding + dong) * arch(t, 0.004, 0.05)


@sound(momentary=True, seconds=(0.4, 0.6), pitch=(1700, 3500), words=Words(
    ("a whistle blows", "a referee blows a whistle", "someone blows a whistle"),
    ("a whistle blowing", "a referee blowing a whistle", "someone blowing a whistle"),
    ("the sound of a whistle",), ("whistle blast", "whistle blow", "whistle tone")))
def whistle(rng: Generator, t: Array, pitch: float) -> Array:
    """A referee's whistle: two close tones that a rolling pea makes tremble, in a breath of air."""
    interval, pea = rng.uniform(1.1, 1.16), tone(cycles(rng.uniform(22, 32), t))
    low_tone, high_tone = (tone(cycles(f * (1 + 0.025 * pea), t)) for f in (pitch, pitch * interval))
    air = noise(rng, t, pitch, 2 * pitch)
    return (low_tone + 0.7 * high_tone + 0.12 * air) * (0.58 - 0.42 * pea) * arch(t, 0.02, 0.04)
