"""People."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, bump, cycles, fade, hump, noise, smallness, tone, voice

sound = family("human")


@sound(momentary=False, seconds=(1.3, 2.4), rate=(1.8, 4.2), words=Words(
    ("someone walks", "footsteps approach", "a person walks by"),
    ("someone walking", "footsteps approaching", "a person walking by"),
    ("footsteps", "the steps of a walker", "the sound of walking")))
def footsteps(rng: Generator, t: Array, rate: float) -> Array:
    """Footsteps: heel and sole, a thud and a scrape, left and right a little different."""
    step, left = cycles(rate, t), cycles(rate / 2, t) < 0.5
    since = step * np.float32(1 / rate)
    heel = tone(np.float32(rng.uniform(110, 150)) * since) * fade(since, 0.03) * np.where(left, 1, 0.8)
    sole = noise(rng, t, 600, 3000) * bump(since, 0.07, 0.022)
    click = noise(rng, t, 500, 4000) * fade(since, 0.007)
    return (1.2 * heel + 0.35 * sole + 0.8 * click).astype(np.float32) * arch(t, 0.01, 0.05)


@sound(momentary=True, seconds=(0.18, 0.28), words=Words(
    ("someone claps", "a person claps their hands", "hands clap"),
    ("someone clapping", "a person clapping their hands", "hands clapping"),
    units=("clap", "hand clap")))
def clap(rng: Generator, t: Array) -> Array:
    """A clap of hands: a snap in the middle of the spectrum, hollow between the palms."""
    hollow = tone(cycles(rng.uniform(850, 1250), t)) * fade(t, 0.012)
    return noise(rng, t, 700, 3500) * fade(t, 0.018) + 0.8 * hollow + 0.25 * noise(rng, t, 600, 2500) * fade(t, 0.06)


@sound(momentary=True, seconds=(0.35, 0.5), pitch=(140, 300), words=Words(
    ("someone coughs", "a person coughs", "a man coughs"), ("someone coughing", "a person coughing", "a man coughing"),
    ("a coughing person",), ("cough", "cough sound")))
def cough(rng: Generator, t: Array, pitch: float) -> Array:
    """A cough: a burst of breath, a strained voice behind it, and breath again."""
    duration = float(t[-1])
    push = fade(t, 0.09) + 0.5 * bump(t, 0.6 * duration, 0.13 * duration)
    small = smallness(pitch, 205)
    throat = voice(pitch * (1.2 - 0.4 * t / t[-1]), t, 14, (small * 700, 250, 1.0), (small * 1250, 300, 0.7))
    breath = noise(rng, t, 500, 2800)
    return (0.9 * throat * fade(t, 0.16) + breath * push) * arch(t, 0.012, 0.1)


@sound(momentary=True, seconds=(0.5, 0.7), pitch=(180, 380), words=Words(
    ("someone sneezes", "a person sneezes", "a man sneezes"),
    ("someone sneezing", "a person sneezing", "a man sneezing"),
    ("a sneezing person",), ("sneeze", "achoo")))
def sneeze(rng: Generator, t: Array, pitch: float) -> Array:
    """A sneeze: a voice drawn up, a stop, then a bright rush of air."""
    x = t / t[-1]
    small = smallness(pitch, 260)
    draw = voice(pitch * (1 + 0.9 * x), t, 10, (small * 650, 250, 1.0), (small * 1100, 300, 0.6)) * bump(x, 0.2, 0.09)
    rush = noise(rng, t, 1800, 7000) * (x > 0.42) * fade(np.maximum(t - 0.42 * t[-1], 0), 0.11)
    return (draw + 1.1 * rush) * arch(t, 0.03, 0.1)


@sound(momentary=False, seconds=(1.5, 2.4), pitch=(50, 120), rate=(0.8, 2.0), words=Words(
    ("someone snores", "a man snores", "a sleeper snores"), ("someone snoring", "a man snoring", "a sleeper snoring"),
    ("a snoring man", "the snoring of a sleeper")))
def snoring(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """Snoring: a rattle as breath goes in, a soft blow as it goes out."""
    breath = cycles(rate, t)
    inward = hump(breath / 0.55) ** 0.7
    outward = hump((breath - 0.6) / 0.4)
    flap = np.exp(-4 * cycles(pitch * (1 + 0.1 * noise(rng, t, 2, 20)), t))
    small = smallness(pitch, 77)
    rattle, blow = noise(rng, t, small * 150, small * 900), noise(rng, t, small * 700, small * 2500)
    return (rattle * flap * inward + 0.18 * blow * outward) * arch(t, 0.08, 0.12)


@sound(momentary=False, seconds=(1.3, 2.4), pitch=(300, 600), rate=(1.0, 2.4), words=Words(
    ("a baby cries", "an infant cries", "a newborn wails"), ("a baby crying", "an infant crying", "a newborn wailing"),
    ("a crying baby", "a wailing newborn")))
def baby(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """A baby: one cry a breath, each rises, holds with an open throat and falls."""
    cry = cycles(rate, t)
    effort = hump(cry / 0.78) ** 0.6
    sung = pitch * (0.85 + 0.3 * effort) * (1 + 0.02 * tone(cycles(rng.uniform(6, 8), t)))
    small = smallness(pitch, 425)
    throat = voice(sung, t, 12, (small * 1050, 300, 1.0), (small * rng.uniform(2800, 3400), 500, 0.6))
    return throat * effort * arch(t, 0.05, 0.1)


@sound(momentary=False, seconds=(1.0, 2.2), pitch=(160, 400), rate=(3.8, 7.5), words=Words(
    ("someone laughs", "a woman laughs", "a person giggles"),
    ("someone laughing", "a woman laughing", "a person giggling"),
    ("laughter", "a laughing woman", "giggling")))
def laughter(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """Laughter: 'ha' after 'ha', a breath and a vowel each, sinking in pitch."""
    ha = cycles(rate, t)
    vowel = np.exp(-((ha - 0.45) / 0.17) ** 2)
    sung = pitch * (1.25 - 0.35 * t / t[-1]) * (1 + 0.12 * vowel)
    small = smallness(pitch, 255)
    throat = voice(sung, t, 12, (small * 850, 250, 1.0), (small * 1500, 300, 0.5))
    return (throat * vowel + 0.35 * noise(rng, t, 900, 3500) * np.exp(-((ha - 0.16) / 0.08) ** 2)) * arch(t, 0.04, 0.12)
