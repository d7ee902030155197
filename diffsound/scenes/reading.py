"""Captions read back: the inverse of `captions.py`, from the same tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property

from diffsound.scenes.captions import NUMBERS, SOURCES, Wording, plural, with_article
from diffsound.scenes.sounds import MOMENTARY
from diffsound.scenes.structure import Request, Structure
from diffsound.scenes.tables import Tables


def read(text: str, wording: Wording = "plain") -> Structure | None:
    """The structure that `caption` words as `text`; None if it words none so, or more than one.

    Capitals, a full stop at the end and the width of spaces do not matter. `wording` says which captions are known:
    "plain" ones, or "wide" ones, which the plain ones are among.
    """
    text = " ".join(text.lower().split()).removesuffix(".")
    readings = {structure for grammar in grammars(wording) for structure in grammar.readings(text)}
    return readings.pop() if len(readings) == 1 else None


@cache
def grammars(wording: Wording) -> tuple[Grammar, Grammar]:
    """Of clauses and of nouns."""
    return tuple(Grammar(SOURCES[wording], clausal) for clausal in (True, False))


@dataclass(frozen=True)
class Frame:
    """What is left of a sentence without its sounds: the role of each of them, in the order of the words."""

    roles: str  # digits in order of time, and 'b' for the background: "b10"
    only_momentary: bool = False  # whether the sound in front must be a momentary one


class Grammar:
    """All sentences made of clauses, or all made of nouns.

    phrases: 'a dog barks' to "dog"; `counted` are those that may be followed by 'twice'.
    units: 'dog bark' to "dog"; none of them in clauses.
    templates: as in `captions.py`; alone: those without a background; over, during, beside: the templates of a
        background under anything, under one sound without a second of its own, and under one such sound that is
        momentary.
    """

    def __init__(self, sources: tuple[Tables, ...], clausal: bool) -> None:
        words = [(name, tables.words[name], tables.participle_frames) for tables in sources for name in tables.words]
        actions = {(name, text) for name, said, _ in words if clausal for text in said.clauses}
        actions |= {(name, frame.format(text)) for name, said, frames in words if not clausal
                    for text in said.participles for frame in frames}
        nouns = {(name, text) for name, said, _ in words if not clausal for text in said.nouns}
        units = {(name, text) for name, said, _ in words if not clausal for text in said.units}
        self.phrases = {text: name for name, text in actions | nouns}
        self.counted = {text for name, text in actions if name in MOMENTARY}
        self.units = {text: name for name, text in units}
        self.counts, self.how_often, self.adverb, self.adjective = (
            _inverse(sources, table) for table in ("numbers", "times", "adverbs", "adjectives"))
        self._adverb, self._adjective = re.compile(_any(self.adverb)), re.compile(_any(self.adjective))
        kind = ("clause_templates", "clauses_alone") if clausal else ("noun_templates", "nouns_alone")
        self.templates, self.alone = ([(sounds, template) for tables in sources
                                       for (_, sounds), templates in getattr(tables, table).items()
                                       for template in templates] for table in kind)
        self.over, self.during, self.beside = (
            [template for tables in sources for template in getattr(tables, table)] if table else []
            for table in (("clause_over", "", "") if clausal else ("noun_over", "noun_during", "noun_beside")))
        self.at = [template for tables in sources for template in tables.at]

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
                    events[0] = replace(events[0], at=self._second(number, rest))
                if events[0].name in MOMENTARY or not frame.only_momentary:
                    yield Structure(tuple(events), background)
            except ValueError:  # a bark that is a background, or 'two dog bark': nobody would ask so
                continue

    def _request(self, match: re.Match) -> Request:
        """The sound in a match of `_pattern`.

        Raises:
            ValueError: if it is not said so.
        """
        attributes = [*(self.adjective[said] for said in self._adjective.findall(match["adjectives"] or "")),
                      *(self.adverb[said] for said in self._adverb.findall(match["adverbs"] or ""))]
        if match["unit"]:
            unit, count = self._forms[match["unit"]], self.counts.get(match["number"], 1)
            said = match["adjectives"] + unit
            agrees = match["number"] in self.counts or f"{match['number']} {said}" == with_article(said)
            if not agrees or match["unit"] != (plural(unit) if count > 1 else unit):
                raise ValueError(f"'{match.group()}' does not agree with itself")
            name = self.units[unit]
        else:
            count = self.how_often.get(match["times"], 1)
            if match["times"] and match["phrase"] not in self.counted:
                raise ValueError(f"'{match['phrase']}' is not counted")
            name = self.phrases[match["phrase"]]
        return Request(name, count, attributes)

    def _second(self, number: str, frame: str) -> float:
        """The second that `number` says.

        Raises:
            ValueError: if it is no number, or the word beside it does not agree.
        """
        second = float(self.counts.get(number, number))
        if "{n} second" in frame and "second mark" not in frame and ("{n} seconds" in frame) == (second == 1):
            raise ValueError(f"'{number}' beside a wrong form of 'second'")
        return second

    @cached_property
    def _forms(self) -> dict[str, str]:
        """Units by their singular and by their plural."""
        return {form: unit for unit in self.units for form in (unit, plural(unit))}

    @cached_property
    def _pattern(self) -> re.Pattern:
        """One sound with all that is said of it, or the number of a second."""
        adverb = _any(self.adverb)
        manner = rf"(?P<adverbs> {adverb}(?: and {adverb})*)?"
        phrase = rf"(?P<phrase>{_any(self.phrases)})(?: (?P<times>{_any(self.how_often)}))?"
        number, adjectives = _any([*self.counts, "a", "an"]), f"(?:{_any(self.adjective)} )*"
        unit = rf"(?P<number>{number}) (?P<adjectives>{adjectives})(?P<unit>{_any(self._forms)})"
        second = rf"(?P<n>{_any(texts[0] for texts in NUMBERS.values())}|\d[\d.e-]*)"
        return re.compile(rf"\b(?:(?:{phrase}|{unit}){manner}|{second})\b")

    @cached_property
    def _frames(self) -> dict[str, set[Frame]]:
        """All sentences with their sounds left out."""
        frames: dict[str, set[Frame]] = {}
        for sounds, template in [*self.templates, *self.alone]:
            timed = [at.replace("{0}", template).replace("{s}", s) for at in self.at for s in ("second", "seconds")]
            for front in (template, *(timed if sounds == 1 else ())):
                _enter(frames, front)
                if (sounds, template) in self.alone:
                    continue
                single = sounds == 1 and front is template
                for over in (*self.over, *(self.during if single else ())):
                    _enter(frames, over.replace("{0}", front))
                for over in self.beside if single else ():
                    _enter(frames, over.replace("{0}", front), only_momentary=True)
        return frames


def _enter(frames: dict[str, set[Frame]], sentence: str, only_momentary: bool = False) -> None:
    roles = "".join(re.findall(r"{([\db])}", sentence))
    frames.setdefault(re.sub(r"{[\db]}", "{}", sentence), set()).add(Frame(roles, only_momentary))


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


def _inverse(sources: tuple[Tables, ...], table: str) -> dict:
    return {text: key for tables in sources for key, texts in getattr(tables, table).items() for text in texts}
