"""What a caption states and a timeline shows: which sounds, how often, of what kind, when, and how they relate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffsound.scenes.sounds import SOUNDS, SUSTAINED

MOST_REPEATS, MOST_SOUNDS = 4, 4
AXES = {"pitch": ("low", "high"), "rate": ("slow", "fast"), "level": ("faint", "loud"), "distance": ("near", "far"),
        "length": ("short", "long")}
SAID = {word: (axis, bool(side)) for axis, words in AXES.items() for side, word in enumerate(words)}
REPEATED_QUICKLY = 0.5  # seconds; longer sounds are not repeated fast or slowly: that does not fit a short clip


def _place(word: str) -> int:
    return tuple(SAID).index(word) if word in SAID else len(SAID)


@dataclass(frozen=True)
class Request:
    """One sound as it is asked for.

    count: how often it is heard, 1 to 4; always 1 for a sustained sound.
    attributes: words of `AXES`, one an axis at most, kept in that order. What is not said is ordinary.
    at: second of the (first) onset, if that is said.
    """

    name: str
    count: int = 1
    attributes: tuple[str, ...] = ()
    at: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "attributes", tuple(sorted(self.attributes, key=_place)))
        if self.name not in SOUNDS:
            raise ValueError(f"no sound is called '{self.name}': expected one of {', '.join(SOUNDS)}")
        most = MOST_REPEATS if SOUNDS[self.name].momentary else 1
        if not 1 <= self.count <= most:
            raise ValueError(f"count of {self.name} is {self.count}, expected 1 to {most}")
        axes = [SAID[word][0] if word in SAID else word for word in self.attributes]
        if unfit := [word for word, axis in zip(self.attributes, axes, strict=True) if axis not in self.axes]:
            fit = [word for axis in self.axes for word in AXES[axis]]
            raise ValueError(f"{self.name} ({self.count}) cannot be {', '.join(unfit)}: expected "
                             f"among {', '.join(fit)}")
        if len(set(axes)) < len(axes):
            raise ValueError(f"{self.name} is asked to be {' and '.join(self.attributes)}: expected one of each pair")
        if self.at is not None and not self.at > 0:
            raise ValueError(f"{self.name} is asked for at second {self.at}, expected a positive number")

    @property
    def axes(self) -> tuple[str, ...]:
        """Those of `AXES` that can be said of it."""
        sound = SOUNDS[self.name]
        repeated = sound.momentary and 2 <= self.count <= 3 and sound.seconds[1] <= REPEATED_QUICKLY
        fit = {"pitch": sound.pitch is not None, "rate": sound.rate is not None or repeated, "level": True,
               "distance": True, "length": not sound.momentary}
        return tuple(axis for axis in AXES if fit[axis])


@dataclass(frozen=True)
class Structure:
    """The truth that many captions word differently and many waveforms sound differently.

    events: the sounds, in order of time: each is over before the next begins.
    background: a sustained sound that begins before all of them and ends after.
    """

    events: tuple[Request, ...]
    background: Request | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(self.events))
        names = [request.name for request in self.requests]
        if not self.events or len(names) > MOST_SOUNDS or len(set(names)) < len(names):
            raise ValueError(f"a scene of {', '.join(names) or 'nothing'}: expected one to {MOST_SOUNDS} different "
                             "sounds, not all of them in the background")
        if self.background is not None and self.background.name not in SUSTAINED:
            raise ValueError(f"'{self.background.name}' in the background: expected a sustained sound "
                             f"({', '.join(SUSTAINED)})")
        if self.background is not None:
            said = {SAID[word][0] for word in self.background.attributes} & {"level", "distance", "length"}
            if said or self.background.at is not None:
                raise ValueError(f"background {self.background.name} with a {' and '.join(said) or 'second'} of "
                                 "its own: expected none, it is under everything, all the time")
        if len(self.events) > 1 and any(request.at is not None for request in self.events):
            raise ValueError(f"{', '.join(names)}: expected a second of one event alone, order tells the rest")

    @property
    def requests(self) -> tuple[Request, ...]:
        return (*self.events, self.background) if self.background else self.events

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(request.name for request in self.requests)

    @property
    def kind(self) -> str:
        """The row of a table this structure belongs to; attributes are beside it."""
        first = self.events[0]
        if first.at is not None:
            return "timed"
        if self.background is not None:
            return "then while" if len(self.events) > 1 else "beside" if first.name in SUSTAINED else "while"
        if len(self.events) == 1:
            return "count" if first.count > 1 else "single"
        if len(self.events) > 2:
            return "sequence"
        return "count then" if max(request.count for request in self.events) > 1 else "then"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Structure:
        """From what `dataclasses.asdict` made of one."""
        background = values["background"]
        return cls(tuple(Request(**event) for event in values["events"]), background and Request(**background))
