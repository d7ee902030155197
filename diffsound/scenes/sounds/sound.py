"""What a class of sound is, and how one is added to the table: see any file beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diffsound.scenes.waves import Array

Phrases = tuple[str, ...]
SOUNDS: dict[str, Sound] = {}


@dataclass(frozen=True)
class Words:
    """Phrases for one class of sound."""

    clauses: Phrases  # 'a dog barks', 'a dog barks twice'
    participles: Phrases  # 'a dog barking', 'a dog barking twice'
    nouns: Phrases = ()  # 'a barking dog'; never counted
    units: Phrases = ()  # 'dog bark': 'a dog bark', 'two loud dog barks'; regular plurals only


@dataclass(frozen=True)
class Sound:
    """One class of sound. A momentary one can be counted; a sustained one fills the time it is given.

    make: `(rng, t) -> (n,) float32`, t seconds since the onset, one a sample; and `pitch` or `rate` by name where the
        class has a range of them. Loudness is arbitrary: `synthesise` levels it.
    seconds: shortest and longest, as such a sound lasts if nothing else is said.
    pitch, rate: lowest and highest, in Hz and in turns a second; None where nobody would say of it that it is high or
        fast.
    """

    make: Callable[..., Array]
    family: str
    momentary: bool
    seconds: tuple[float, float]
    words: Words
    pitch: tuple[float, float] | None = None
    rate: tuple[float, float] | None = None


def family(name: str) -> Callable[..., Callable]:
    """A decorator that enters a synthesiser in the table, under its own name, in the family `name`."""

    def sound(**properties) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
        def enter(make: Callable[..., Array]) -> Callable[..., Array]:
            SOUNDS[make.__name__] = Sound(make, name, **properties)
            return make
        return enter
    return sound
