"""What a caption states and a timeline shows: which sounds, how often, and how they relate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from numpy.random import Generator

from diffsound.scenes.synthesis import MOMENTARY, SOUNDS, SUSTAINED

MOST_REPEATS = 4
KINDS = {"single": 0.1, "count": 0.2, "then": 0.3, "count then": 0.15, "while": 0.15, "sequence": 0.1}


@dataclass(frozen=True)
class Structure:
    """The truth that many captions word differently and many waveforms sound differently.

    relation: "alone" (one sound), "then" (two or three, one after another), or "while" (the first, momentary, during
        the second, sustained).
    names: the sounds; in order of time for "then".
    counts: how often each is heard, 1 to 4; always 1 for a sustained sound. Left out, all are 1.
    """

    relation: Literal["alone", "then", "while"]
    names: tuple[str, ...]
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "counts", tuple(self.counts) or (1,) * len(self.names))
        for name in self.names:
            if name not in SOUNDS:
                raise ValueError(f"no sound is called '{name}': expected one of {', '.join(SOUNDS)}")
        sizes = {"alone": (1,), "then": (2, 3), "while": (2,)}
        if len(self.names) not in sizes.get(self.relation, ()) or len(set(self.names)) < len(self.names):
            raise ValueError(f"relation '{self.relation}' of {self.names}: expected alone (one sound), then (two or "
                             "three different sounds) or while (two different sounds)")
        if self.relation == "while" and not (self.names[0] in MOMENTARY and self.names[1] in SUSTAINED):
            raise ValueError(f"'{self.names[0]}' while '{self.names[1]}': expected a momentary sound while a sustained "
                             f"one ({', '.join(SUSTAINED)})")
        most = [MOST_REPEATS if SOUNDS[name].momentary else 1 for name in self.names]
        if len(self.counts) != len(most) or not all(1 <= c <= m for c, m in zip(self.counts, most, strict=True)):
            raise ValueError(f"counts {self.counts} of {self.names}: expected one for each sound, from 1 to {most}")

    @property
    def kind(self) -> str:
        """The row of a table this structure belongs to: single, count, then, count then, while or sequence."""
        if self.relation == "alone":
            return "count" if self.counts[0] > 1 else "single"
        if self.relation == "then":
            return "sequence" if len(self.names) == 3 else "count then" if max(self.counts) > 1 else "then"
        return "while"


def draw_structure(rng: Generator) -> Structure:
    """A random structure, of each kind as often as `KINDS` says."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind in ("single", "count"):
        name = _draw(rng, SOUNDS if kind == "single" else MOMENTARY)
        return Structure("alone", (name,), (1 if kind == "single" else int(rng.integers(2, MOST_REPEATS + 1)),))
    if kind == "while":
        return Structure("while", (_draw(rng, MOMENTARY), _draw(rng, SUSTAINED)), (int(rng.integers(1, 4)), 1))
    if kind == "count then":
        repeated, count = _draw(rng, MOMENTARY), int(rng.integers(2, 4))
        other = _draw(rng, [name for name in SOUNDS if name != repeated])
        if rng.random() < 0.5:
            return Structure("then", (repeated, other), (count, 1))
        return Structure("then", (other, repeated), (1, count))
    names = rng.permutation(list(SOUNDS))[: 3 if kind == "sequence" else 2]
    return Structure("then", tuple(map(str, names)))


def _draw(rng: Generator, names) -> str:
    return list(names)[rng.integers(len(names))]
