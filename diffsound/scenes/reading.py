"""Captions read back: the inverse of `captions.py`, from the same tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from diffsound.scenes.captions import (
    ADJECTIVES,
    ADVERBS,
    AT,
    CLAUSE_OVER,
    CLAUSE_TEMPLATES,
    NOUN_BESIDE,
    NOUN_DURING,
    NOUN_OVER,
    NOUN_TEMPLATES,
    NUMBERS,
    TIMES,
    plural,
    with_article,
)
from diffsound.scenes.sounds import MOMENTARY, SOUNDS
from diffsound.scenes.sounds.sound import Phrases
from diffsound.scenes.structure import Request, Structure


def read(text: str) -> Structure | None:
    """The structure that `caption` words as `text`; None if it words none so, or more than one.

    Capitals, a full stop at the end and the width of spaces do not matter.
    """
    text = " ".join(text.lower().split()).removesuffix(".")
    readings = {structure for grammar in (CLAUSES, NOUNS) for structure in grammar.readings(text)}
    return readings.pop() if len(readings) == 1 else None


@dataclass(frozen=True)
class Frame:
    """What is left of a sentence without its sounds: the role of each of them, in the order of the words."""

    roles: str  # digits in order of time, and 'b' for the background: "b10"
    only_momentary: bool = False  # whether the sound in front must be a momentary one


@dataclass(frozen=True)
class Grammar:
    """All sentences made of clauses, or all made of nouns.

    phrases: 'a dog barks' to "dog"; `counted` are those that may be followed by 'twice'.
    units: 'dog bark' to "dog"; none of them in clauses.
    templates: as in `captions.py`; over, during, beside: the templates of a background under anything, under one sound
        without a second of its own, and under one such sound that is momentary.
    """

    phrases: dict[str, str]
    counted: frozenset[str]
    units: dict[str, str]
    templates: dict[tuple[str, int], Phrases]
    over: Phrases
    during: Phrases = ()
    beside: Phrases = ()

    def readings(self, text: str) -> Iterator[Structure]:
        """Every structure that `text` may word."""
        matches = list(self._pattern.finditer(text))
        rest = self._pattern.sub(lambda match: "{n}" if match["n"] else "{}", text)
        for frame in self._frames.get(rest, ()):
            try:
                requests = [self._request(match) for match in matches if not match["n"]]
                by_role = dict(zip(frame.roles, requests, strict=True))
                background = by_role.pop("b", None)
                events = [by_role[role] for role in sorted(by_role)]
                if "{n}" in rest:
                    number, = (match["n"] for match in matches if match["n"])
                    events[0] = replace(events[0], at=_second(number, rest))
                if events[0].name in MOMENTARY or not frame.only_momentary:
                    yield Structure(tuple(events), background)
            except ValueError:  # a bark that is a background, or 'two dog bark': nobody would ask so
                continue

    def _request(self, match: re.Match) -> Request:
        """The sound in a match of `_pattern`.

        Raises:
            ValueError: if it is not said so.
        """
        words = [*(match["adjectives"] or "").split(), *_ADVERB.findall(match["adverbs"] or "")]
        attributes = [ADJECTIVE.get(word) or ADVERB[word] for word in words]
        if match["unit"]:
            unit, count = self._forms[match["unit"]], COUNTS.get(match["number"], 1)
            said = match["adjectives"] + unit
            agrees = match["number"] in COUNTS or f"{match['number']} {said}" == with_article(said)
            if not agrees or match["unit"] != (plural(unit) if count > 1 else unit):
                raise ValueError(f"'{match.group()}' does not agree with itself")
            name = self.units[unit]
        else:
            count = HOW_OFTEN.get(match["times"], 1)
            if match["times"] and match["phrase"] not in self.counted:
                raise ValueError(f"'{match['phrase']}' is not counted")
            name = self.phrases[match["phrase"]]
        return Request(name, count, attributes)

    @cached_property
    def _forms(self) -> dict[str, str]:
        """Units by their singular and by their plural."""
        return {form: unit for unit in self.units for form in (unit, plural(unit))}

    @cached_property
    def _pattern(self) -> re.Pattern:
        """One sound with all that is said of it, or the number of a second."""
        manner = rf"(?P<adverbs> {_any(ADVERB)}(?: and {_any(ADVERB)})*)?"
        phrase = rf"(?P<phrase>{_any(self.phrases)})(?: (?P<times>{_any(HOW_OFTEN)}))?"
        number, adjectives = _any([*COUNTS, "a", "an"]), f"(?:{_any(ADJECTIVE)} )*"
        unit = rf"(?P<number>{number}) (?P<adjectives>{adjectives})(?P<unit>{_any(self._forms)})"
        second = rf"(?P<n>{_any(form[0] for form in NUMBERS.values())}|\d[\d.e-]*)"
        return re.compile(rf"\b(?:(?:{phrase}|{unit}){manner}|{second})\b")

    @cached_property
    def _frames(self) -> dict[str, set[Frame]]:
        """All sentences with their sounds left out."""
        frames: dict[str, set[Frame]] = {}
        for (_, sounds), templates in self.templates.items():
            for template in templates:
                timed = [at.replace("{0}", template).replace("{s}", s) for at in AT for s in ("second", "seconds")]
                for front in (template, *(timed if sounds == 1 else ())):
                    alone = sounds == 1 and front is template
                    _enter(frames, front)
                    for over in (*self.over, *(self.during if alone else ())):
                        _enter(frames, over.replace("{0}", front))
                    for over in self.beside if alone else ():
                        _enter(frames, over.replace("{0}", front), only_momentary=True)
        return frames


def _enter(frames: dict[str, set[Frame]], sentence: str, only_momentary: bool = False) -> None:
    roles = "".join(re.findall(r"{([\db])}", sentence))
    frames.setdefault(re.sub(r"{[\db]}", "{}", sentence), set()).add(Frame(roles, only_momentary))


def _second(number: str, frame: str) -> float:
    """The second that `number` says.

    Raises:
        ValueError: if it is no number, or the word beside it does not agree.
    """
    second = float(COUNTS.get(number, number))
    if "{n} second" in frame and "second mark" not in frame and ("{n} seconds" in frame) == (second == 1):
        raise ValueError(f"'{number}' beside a wrong form of 'second'")
    return second


def _any(texts: Iterable[str]) -> str:
    """A pattern of any of them, the longest first; texts that begin with the same word share it, which is quicker."""
    by_first: dict[str, list[str]] = {}
    for text in texts:
        first, _, rest = text.partition(" ")
        by_first.setdefault(first, []).append(rest)
    options = []
    for first, rests in sorted(by_first.items(), reverse=True):
        more = f" {_any(filter(None, rests))}" if any(rests) else ""
        options.append(re.escape(first) + (f"(?:{more})?" if more and "" in rests else more))
    return f"(?:{'|'.join(options) or '(?!)'})"


def _inverse(table: dict) -> dict:
    return {word: key for key, words in table.items() for word in words}


def _names(*tables: str) -> dict[str, str]:
    return {phrase: name for name, sound in SOUNDS.items() for table in tables
            for phrase in getattr(sound.words, table)}


ADVERB, ADJECTIVE, COUNTS, HOW_OFTEN = map(_inverse, (ADVERBS, ADJECTIVES, NUMBERS, TIMES))
_ADVERB = re.compile(_any(ADVERB))
_COUNTED = frozenset(phrase for name in MOMENTARY for words in [SOUNDS[name].words]
                     for phrase in (*words.clauses, *words.participles))
CLAUSES = Grammar(_names("clauses"), _COUNTED, {}, CLAUSE_TEMPLATES, CLAUSE_OVER)
NOUNS = Grammar(_names("participles", "nouns"), _COUNTED, _names("units"), NOUN_TEMPLATES, NOUN_OVER, NOUN_DURING,
                NOUN_BESIDE)
