"""Which scenes there are: what is drawn how often, and which combinations no training scene shows."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from numpy.random import Generator

from diffsound.scenes.captions import Wording
from diffsound.scenes.sounds import MOMENTARY, SOUNDS, SUSTAINED
from diffsound.scenes.structure import AXES, MOST_REPEATS, MOST_SOUNDS, Request, Structure

Part = Literal["all", "seen", "held out"]
KINDS = {"single": 0.1, "count": 0.2, "then": 0.3, "count then": 0.15, "while": 0.15, "sequence": 0.1}
HELD_OUT = 8  # one of so many combinations
MOST_DRAWS = 1000  # until one is of the part asked for


@dataclass(frozen=True)
class World:
    """How scenes are drawn.

    Args:
        classes: names from `SOUNDS`; all of them if empty.
        kinds: how often each kind of structure is drawn; see `Structure.kind`.
        attributes: the share of sounds that something is said of.
        rooms: the share of scenes in which sounds are near or far in a room, some over a faint bed of noise.
        wording: how captions say it; "plain" with few phrases, "wide" with many more beside them. `read` takes the same
            word.
    """

    classes: tuple[str, ...] = ()
    kinds: dict[str, float] = field(default_factory=lambda: dict(KINDS))
    attributes: float = 0.0
    rooms: float = 0.0
    wording: Wording = "plain"

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes or SOUNDS))
        if unknown := set(self.classes) - set(SOUNDS):
            raise ValueError(f"world.classes holds {sorted(unknown)}: expected names among {', '.join(SOUNDS)}")
        if unknown := set(self.kinds) - set(DRAW):
            raise ValueError(f"world.kinds holds {sorted(unknown)}: expected names among {', '.join(DRAW)}")
        if not 0 <= self.attributes <= 1:
            raise ValueError(f"world.attributes is {self.attributes}, expected a share from 0 to 1")
        if not 0 <= self.rooms <= 1:
            raise ValueError(f"world.rooms is {self.rooms}, expected a share from 0 to 1")
        if self.wording not in get_args(Wording):
            raise ValueError(f"world.wording is '{self.wording}', expected one of {', '.join(get_args(Wording))}")
        for classes, name in ((self.momentary, "momentary"), (self.sustained, "sustained")):
            if len(classes) < MOST_SOUNDS:
                raise ValueError(f"world.classes has {len(classes)} {name} sounds ({', '.join(classes)}): expected at "
                                 f"least {MOST_SOUNDS}")

    @property
    def momentary(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if name in MOMENTARY)

    @property
    def sustained(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if name in SUSTAINED)

    def draw(self, rng: Generator, part: Part = "all") -> Structure:
        """A random structure; one that shows no held-out combination ("seen"), or at least one of them.

        Raises:
            ValueError: if there seems to be none: single sounds of which nothing is said are no combination.
        """
        names, weights = list(self.kinds), list(self.kinds.values())
        for _ in range(MOST_DRAWS):
            kind = names[rng.choice(len(names), p=[weight / sum(weights) for weight in weights])]
            structure = DRAW[kind](self, rng)
            if part == "all" or (part == "held out") == is_held_out(structure):
                return structure
        raise ValueError(f"{MOST_DRAWS} scenes of {', '.join(names)} were drawn and none is {part}: add other kinds to "
                         "world.kinds, more to world.classes, or world.attributes")

    def pick(self, rng: Generator, names: tuple[str, ...], without: tuple[str, ...] = ()) -> str:
        left = [name for name in names if name not in without]
        return left[rng.integers(len(left))]

    def request(self, rng: Generator, name: str, count: int = 1, role: str = "one") -> Request:
        """`name`, sometimes with an attribute or two that such a sound can have in its role."""
        plain = Request(name, count)
        if rng.random() >= self.attributes:
            return plain
        axes = [axis for axis in plain.axes if axis not in NOT_SAID[role]]
        if not axes:
            return plain
        first = axes[rng.integers(len(axes))]
        chosen = [first]
        others = [axis for axis in axes if axis != first and {axis, first} != {"level", "distance"}]
        if others and rng.random() < 0.2:
            chosen.append(others[rng.integers(len(others))])
        return Request(name, count, tuple(AXES[axis][rng.integers(2)] for axis in chosen))


# What is not said of a sound by its role: there is no time for "long" among many, no other loudness under a sound.
NOT_SAID = {"one": (), "of several": ("length",), "background": ("level", "distance", "length")}


def _single(world: World, rng: Generator) -> Structure:
    return Structure((world.request(rng, world.pick(rng, world.classes)),))


def _count(world: World, rng: Generator) -> Structure:
    return Structure((world.request(rng, world.pick(rng, world.momentary), int(rng.integers(2, MOST_REPEATS + 1))),))


def _then(world: World, rng: Generator) -> Structure:
    first = world.pick(rng, world.classes)
    second = world.pick(rng, world.classes, (first,))
    long = rng.integers(2)  # of two sounds one may be asked to be long, not both: that would not fit
    return Structure(tuple(world.request(rng, name, role="one" if i == long else "of several")
                           for i, name in enumerate((first, second))))


def _count_then(world: World, rng: Generator) -> Structure:
    repeated = world.pick(rng, world.momentary)
    requests = (world.request(rng, repeated, int(rng.integers(2, 4)), "of several"),
                world.request(rng, world.pick(rng, world.classes, (repeated,)), role="of several"))
    return Structure(requests if rng.random() < 0.5 else requests[::-1])


def _while(world: World, rng: Generator) -> Structure:
    background = world.pick(rng, world.sustained)
    front = world.pick(rng, world.momentary)
    return Structure((world.request(rng, front, int(rng.integers(1, 4)), "of several"),),
                     world.request(rng, background, role="background"))


def _beside(world: World, rng: Generator) -> Structure:
    """Two sustained sounds, one while the other goes on."""
    background = world.pick(rng, world.sustained)
    front = world.pick(rng, world.sustained, (background,))
    return Structure((world.request(rng, front, role="of several"),), world.request(rng, background, role="background"))


def _sequence(world: World, rng: Generator) -> Structure:
    names: list[str] = []
    for _ in range(3 if rng.random() < 0.7 else 4):
        crowded = sum(name in SUSTAINED for name in names) >= 2
        names.append(world.pick(rng, world.momentary if crowded else world.classes, tuple(names)))
    order = rng.permutation(len(names))
    return Structure(tuple(world.request(rng, names[i], role="of several") for i in order))


def _then_while(world: World, rng: Generator) -> Structure:
    background = world.pick(rng, world.sustained)
    first = world.pick(rng, world.momentary)
    second = world.pick(rng, world.momentary, (first,))
    return Structure(tuple(world.request(rng, name, role="of several") for name in (first, second)),
                     world.request(rng, background, role="background"))


def _timed(world: World, rng: Generator) -> Structure:
    name = world.pick(rng, world.momentary)
    at = float(rng.integers(1, 4 if SOUNDS[name].seconds[1] <= 0.75 else 3))  # over before 3.9 s, the recipes' length
    if rng.random() < 0.5:
        return Structure((Request(name, at=at),))
    return Structure((Request(name, at=at),), world.request(rng, world.pick(rng, world.sustained), role="background"))


DRAW = {"single": _single, "count": _count, "then": _then, "count then": _count_then, "while": _while,
        "beside": _beside, "sequence": _sequence, "then while": _then_while, "timed": _timed}


def combinations(structure: Structure) -> Iterator[tuple[str, ...]]:
    """What a scene puts together: a sound before another, a sound over another, a sound and its number or attribute."""
    for first, second in itertools.combinations(structure.events, 2):
        yield "then", first.name, second.name
    for request in structure.requests:
        if structure.background is not None and request is not structure.background:
            yield "over", request.name, structure.background.name
        if request.count > 1:
            yield "count", request.name, str(request.count)
        for word in request.attributes:
            yield "attribute", request.name, word


def is_held_out(structure: Structure) -> bool:
    """Whether no training scene shows all that this one puts together; the same on every machine, in every world."""
    return any(zlib.crc32(" ".join(combination).encode()) % HELD_OUT == 0 for combination in combinations(structure))
