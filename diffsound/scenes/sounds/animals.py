"""Animals."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from diffsound.scenes.sounds.sound import Words, family
from diffsound.scenes.waves import Array, arch, bump, cycles, harmonics, noise, smallness, tone, voice

sound = family("animals")


@sound(momentary=True, seconds=(0.22, 0.35), pitch=(150, 380), words=Words(
    ("a dog barks", "a dog lets out a bark", "a puppy barks"), ("a dog barking", "dog barking", "a puppy barking"),
    ("a barking dog", "the bark of a dog"), ("dog bark", "bark")))
def dog(rng: Generator, t: Array, pitch: float) -> Array:
    """A bark: a hoarse voice that jumps up and falls while the mouth snaps open and shut."""
    size, hoarseness, duration = pitch / 230, rng.uniform(0.35, 0.55), float(t[-1])
    peak = 0.26 * duration
    mouth = np.where(t < peak, bump(t, peak, 0.11 * duration), bump(t, peak, 0.22 * duration))
    throat = voice(size * (230 + 330 * mouth), t, 12, (size * (450 + 650 * mouth), 250, 1.0), (size * 2100, 500, 0.4))
    return (throat + hoarseness * noise(rng, t, 600 * size, 2600)) * mouth * arch(t, 0.01, 0.03)


@sound(momentary=True, seconds=(0.5, 0.7), pitch=(400, 800), words=Words(
    ("a cat meows", "a cat lets out a meow", "a kitten meows"), ("a cat meowing", "cat meowing", "a kitten meowing"),
    ("a meowing cat", "the meow of a cat"), ("cat meow", "meow")))
def cat(rng: Generator, t: Array, pitch: float) -> Array:
    """A meow: a clear voice that rises and sinks while the mouth goes from 'm' to 'ee' to 'ow'."""
    duration, lift = float(t[-1]), rng.uniform(0.35, 0.55)
    mouth = bump(t, 0.42 * duration, 0.2 * duration)
    sung = pitch * (1 + lift * bump(t, 0.36 * duration, 0.24 * duration))
    throat = voice(sung, t, 9, (smallness(pitch, 565) * (900 + 1500 * mouth), 500, 1.0), (sung, 200, 0.3))
    return throat * (0.25 + mouth) * arch(t, 0.08, 0.15)


@sound(momentary=True, seconds=(0.25, 0.4), pitch=(3300, 6200), words=Words(
    ("a bird chirps", "a bird tweets", "a sparrow chirps"), ("a bird chirping", "bird chirping", "a bird tweeting"),
    ("a chirping bird", "a tweeting bird"), ("bird chirp", "chirp", "tweet")))
def bird(rng: Generator, t: Array, pitch: float) -> Array:
    """A chirp: a pure high tone that swoops down and up again."""
    depth, flutter, duration = rng.uniform(0.3, 0.42), rng.uniform(16, 24), float(t[-1])
    swoop = np.abs(2 * t / t[-1] - 1) ** 1.5
    song = cycles(pitch * (1 - depth * (1 - swoop) + 0.04 * tone(cycles(flutter, t))), t)
    return harmonics(song, [1, 0.15]) * (0.3 + bump(t, 0.5 * duration, 0.25 * duration)) * arch(t, 0.03, 0.05)


@sound(momentary=True, seconds=(0.22, 0.35), pitch=(150, 290), words=Words(
    ("a duck quacks", "a duck lets out a quack", "a mallard quacks"),
    ("a duck quacking", "duck quacking", "a mallard quacking"),
    ("a quacking duck", "the quack of a duck"), ("duck quack", "quack")))
def duck(rng: Generator, t: Array, pitch: float) -> Array:
    """A quack: a low buzzing voice squeezed through a narrow, nasal bill."""
    buzz = np.float32(pitch) * (1.12 - 0.25 * t / t[-1])
    small = smallness(pitch, 210)
    bill = voice(buzz, t, 20, (small * rng.uniform(1100, 1350), 220, 1.0), (small * rng.uniform(2500, 2900), 350, 0.6))
    return bill * (1 + 0.3 * tone(cycles(buzz / 2, t))) * arch(t, 0.02, 0.09)


@sound(momentary=True, seconds=(0.6, 0.8), pitch=(95, 190), words=Words(
    ("a cow moos", "a cow lets out a moo", "a calf moos"), ("a cow mooing", "cow mooing", "a calf mooing"),
    ("a mooing cow", "the moo of a cow"), ("moo", "cow moo")))
def cow(rng: Generator, t: Array, pitch: float) -> Array:
    """A moo: a low voice that swells out of closed lips and sags at the end."""
    small, duration = smallness(pitch, 135), float(t[-1])
    opening = bump(t, 0.55 * duration, 0.25 * duration)
    sung = pitch * (0.9 + 0.25 * opening)
    throat = voice(sung, t, 16, (small * (260 + 330 * opening), 160, 1.0), (small * rng.uniform(800, 1000), 250, 0.4))
    return throat * (0.3 + opening) * arch(t, 0.1, 0.15)


@sound(momentary=True, seconds=(0.5, 0.7), pitch=(260, 520), words=Words(
    ("a sheep bleats", "a sheep lets out a bleat", "a lamb bleats"),
    ("a sheep bleating", "sheep bleating", "a lamb bleating"),
    ("a bleating sheep", "the bleat of a sheep"), ("bleat", "sheep bleat")))
def sheep(rng: Generator, t: Array, pitch: float) -> Array:
    """A bleat: a nasal voice that trembles in pitch and strength about nine times a second."""
    tremble = tone(cycles(rng.uniform(8, 11), t))
    sung = pitch * (1 + 0.05 * tremble) * (1.05 - 0.15 * t / t[-1])
    small = smallness(pitch, 370)
    throat = voice(sung, t, 16, (small * rng.uniform(750, 900), 200, 1.0), (small * rng.uniform(1700, 2000), 300, 0.7))
    return throat * (0.62 + 0.38 * tremble) * arch(t, 0.05, 0.12)


@sound(momentary=True, seconds=(0.22, 0.35), pitch=(350, 900), words=Words(
    ("a frog croaks", "a frog lets out a croak", "a toad croaks"),
    ("a frog croaking", "frog croaking", "a toad croaking"),
    ("a croaking frog", "the croak of a frog"), ("frog croak", "croak", "ribbit")))
def frog(rng: Generator, t: Array, pitch: float) -> Array:
    """A croak: a resonance struck by quick pulses, quicker towards the end."""
    pulses = cycles(rng.uniform(42, 55) * (1 + 0.5 * t / t[-1]), t)
    croak = harmonics(cycles(pitch * (1 + 0.2 * t / t[-1]), t), [1, 0.5, 0.35, 0.2])
    return croak * np.exp(-4.5 * pulses) * arch(t, 0.02, 0.04)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(3800, 6400), rate=(2.2, 5.5), words=Words(
    ("crickets chirr", "a cricket sings", "crickets sing"),
    ("crickets chirring", "a cricket singing", "crickets singing"),
    ("crickets", "singing crickets", "the song of crickets")))
def crickets(rng: Generator, t: Array, pitch: float, rate: float) -> Array:
    """A cricket: a very high steady note in bursts of three or four pulses, over and over."""
    phrase, pulses = cycles(rate, t), cycles(rate * 7, t)
    gate = (phrase < 0.55) * np.sin(np.pi * pulses) ** 2
    other = tone(cycles(pitch * 1.07, t)) * (cycles(rate * 0.93, t) < 0.5) * np.sin(np.pi * cycles(rate * 6.5, t)) ** 2
    return (tone(cycles(pitch, t)) * gate + 0.25 * other).astype(np.float32) * arch(t, 0.05, 0.08)


@sound(momentary=False, seconds=(1.0, 2.4), pitch=(140, 300), words=Words(
    ("a bee buzzes", "a fly buzzes around", "an insect buzzes"),
    ("a bee buzzing", "a fly buzzing around", "an insect buzzing"),
    ("a buzzing bee", "a fly", "a buzzing insect")))
def bee(rng: Generator, t: Array, pitch: float) -> Array:
    """A bee: a bright buzz whose pitch and strength wander as it flies about."""
    flight = np.tanh(noise(rng, t, 0.5, 2))
    wings = harmonics(cycles(pitch * (1 + 0.16 * flight), t), 1 / np.arange(1, 17) ** 0.5)
    return wings * (0.6 + 0.4 * flight) * arch(t, 0.12, 0.15)


@sound(momentary=True, seconds=(0.55, 0.75), pitch=(300, 560), words=Words(
    ("an owl hoots", "an owl lets out a hoot", "an owl calls"), ("an owl hooting", "owl hooting", "an owl calling"),
    ("a hooting owl", "the hoot of an owl"), ("hoot", "owl hoot")))
def owl(rng: Generator, t: Array, pitch: float) -> Array:
    """A hoot: two soft, hollow notes, a short one and a long one."""
    duration = float(t[-1])
    notes = bump(t, 0.14 * duration, 0.06 * duration) + bump(t, 0.62 * duration, 0.17 * duration)
    breath = noise(rng, t, pitch, 2 * pitch)
    hollow = harmonics(cycles(pitch * (1 - 0.06 * t / t[-1]), t), [1, 0.04, 0.12])
    return (hollow + 0.05 * breath) * notes * arch(t, 0.03, 0.08)


@sound(momentary=True, seconds=(0.65, 0.8), pitch=(420, 800), words=Words(
    ("a rooster crows", "a cockerel crows", "a cock crows"),
    ("a rooster crowing", "a cockerel crowing", "rooster crowing"),
    ("a crowing rooster", "the crow of a rooster"), ("rooster crow", "cockerel crow")))
def rooster(rng: Generator, t: Array, pitch: float) -> Array:
    """A crow: three broken notes that climb, the last one long and falling."""
    x = t / t[-1]
    sung = pitch * np.interp(x, [0, 0.15, 0.2, 0.35, 0.4, 0.55, 1], [1, 1.1, 1.35, 1.45, 1.7, 1.75, 1.0])
    breaks = 1 - 0.9 * (bump(x, 0.18, 0.012) + bump(x, 0.38, 0.012))
    small = smallness(pitch, 580)
    throat = voice(sung, t, 10, (small * 1500, 500, 1.0), (small * rng.uniform(2600, 3000), 500, 0.6))
    return throat * breaks * arch(t, 0.03, 0.12)


@sound(momentary=True, seconds=(0.28, 0.42), pitch=(330, 700), words=Words(
    ("a crow caws", "a raven caws", "a crow lets out a caw"), ("a crow cawing", "crow cawing", "a raven cawing"),
    ("a cawing crow", "the caw of a crow"), ("caw", "crow caw")))
def crow(rng: Generator, t: Array, pitch: float) -> Array:
    """A caw: a harsh rasp, half voice and half noise, that sags."""
    sung = pitch * (1.1 - 0.25 * t / t[-1]) * (1 + 0.06 * noise(rng, t, 40, 150))
    small = smallness(pitch, 480)
    rasp = noise(rng, t, small * 900, small * 2600) * (0.6 + 0.4 * tone(cycles(rng.uniform(70, 95), t)))
    throat = voice(sung, t, 10, (small * rng.uniform(1200, 1500), 350, 1.0),
                   (small * rng.uniform(2300, 2700), 400, 0.5))
    return (throat + 0.9 * rasp) * arch(t, 0.03, 0.1)

