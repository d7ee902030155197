"""Structures in words: many grammatical English sentences for the same truth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Literal

from numpy.random import Generator

from diffsound.scenes.sounds import SOUNDS
from diffsound.scenes.sounds.sound import Phrases
from diffsound.scenes.structure import Request, Structure
from diffsound.scenes.tables import BACKWARDS, Tables
from diffsound.scenes.wider_tables import WIDER

Wording = Literal["plain", "wide"]
# Each relation between clauses ('a dog barks') and between nouns ('two barks', 'a dog barking'): {0}, {1}, ... in order
# of time. Pairs are told backwards, later sound first, as often as forwards: else the order of the words would give
# away the order of the sounds, and nothing would be learned of "after" and "before".
CLAUSE_TEMPLATES: dict[tuple[str, int], Phrases] = {
    ("then", 1): ("{0}",),
    ("then", 2): ("{0}, then {1}", "{0} and then {1}", "first {0}, then {1}", "{0} before {1}", "after {0}, {1}",
                  "{0}, and next {1}", "{0}, and afterwards {1}", "{0}, after which {1}"),
    (BACKWARDS, 2): ("{1} after {0}", "before {1}, {0}", "{1}, but first {0}", "{1}, and before that {0}"),
    ("then", 3): ("{0}, then {1}, then {2}", "first {0}, then {1}, and finally {2}", "{0}, then {1}, and then {2}",
                  "after {0}, {1}, and then {2}", "{0}, next {1}, and last {2}", "first {0}, next {1}, then {2}",
                  "{0}, and then {1} before {2}", "{0}, then {1}, after which {2}"),
    ("then", 4): ("{0}, then {1}, then {2}, then {3}", "first {0}, then {1}, then {2}, and finally {3}",
                  "{0}, then {1}, next {2}, and last {3}", "{0}, then {1}, then {2}, and then {3}"),
}
NOUN_TEMPLATES: dict[tuple[str, int], Phrases] = {
    ("then", 1): ("{0}",),
    ("then", 2): ("{0}, then {1}", "{0} and then {1}", "{0} followed by {1}", "first {0}, then {1}", "{0} before {1}",
                  "{0}, with {1} to follow", "after {0}, {1}", "{0}, and next {1}"),
    (BACKWARDS, 2): ("{1} after {0}", "{1} preceded by {0}", "{1} following {0}", "before {1}, {0}"),
    ("then", 3): ("{0}, then {1}, then {2}", "first {0}, then {1}, and finally {2}", "{0} followed by {1} and then {2}",
                  "{0}, {1}, and then {2}", "{0}, next {1}, and last {2}", "{0} and then {1}, followed by {2}"),
    ("then", 4): ("{0}, then {1}, then {2}, then {3}", "first {0}, then {1}, then {2}, and finally {3}",
                  "{0} followed by {1}, then {2}, and then {3}", "{0}, {1}, {2}, and then {3}"),
}
# {0} is all that is in front, {b} the background.
CLAUSE_OVER: Phrases = ("{0} while {b}", "{0} as {b}", "while {b}, {0}", "as {b}, {0}")
NOUN_OVER: Phrases = ("{0} with {b} in the background", "{0} over the sound of {b}", "{0} against a background of {b}",
                      "over {b}, {0}", "{b} in the background and {0}", "with {b} behind it, {0}")
NOUN_DURING: Phrases = ("{0} during {b}", "{0} amid {b}")  # of one sound alone: else only the last might be meant
# Of one momentary sound alone: of 'rain and wind at the same time' nobody knows which is under which.
NOUN_BESIDE: Phrases = ("{0} and {b} at the same time", "{b} and {0} at the same time")
AT: Phrases = ("at second {n}, {0}", "{0} at second {n}", "{0} {n} {s} in", "{n} {s} in, {0}", "at {n} {s}, {0}",
               "{0} at the {n} second mark", "{0} {n} {s} from the start", "{n} {s} from the start, {0}",
               "starting at second {n}, {0}", "{0}, {n} {s} into it")
NUMBERS: dict[int, Phrases] = {1: ("one", "a single"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
TIMES: dict[int, Phrases] = {1: ("once", "one time"), 2: ("twice", "two times", "2 times", "two times in a row"),
                             3: ("three times", "3 times", "three times in a row", "thrice"),
                             4: ("four times", "4 times", "four times in a row")}
ADVERBS: dict[str, Phrases] = {
    "high": ("at a high pitch", "in a high tone", "high up"),
    "low": ("at a low pitch", "in a low tone", "in a deep tone"),
    "fast": ("quickly", "rapidly", "at a fast pace"), "slow": ("slowly", "at a slow pace", "unhurriedly"),
    "loud": ("loudly", "at high volume", "very loudly"), "faint": ("faintly", "quietly", "softly"),
    "far": ("in the distance", "far away", "a long way off"), "near": ("close by", "nearby", "up close"),
    "long": ("for a long time", "on and on", "for long"), "short": ("briefly", "for a moment", "for a short time"),
}
ADJECTIVES: dict[str, Phrases] = {
    "high": ("high", "shrill"), "low": ("low", "deep"), "fast": ("quick", "rapid", "fast"), "slow": ("slow",),
    "loud": ("loud", "noisy"), "faint": ("faint", "quiet", "soft"), "far": ("distant", "faraway"),
    "near": ("nearby", "close"),
}
SAY_ONCE = 0.15  # how often a count of one is spelt out


PLAIN = Tables({name: sound.words for name, sound in SOUNDS.items()}, CLAUSE_TEMPLATES, NOUN_TEMPLATES, CLAUSE_OVER,
               NOUN_OVER, NOUN_DURING, NOUN_BESIDE, AT, NUMBERS, TIMES, ADVERBS, ADJECTIVES)
Sources = tuple[Tables, ...]  # what a caption draws from, each equally often
SOURCES: dict[Wording, Sources] = {"plain": (PLAIN,), "wide": (PLAIN, WIDER)}


def caption(structure: Structure, rng: Generator, wording: Wording = "plain") -> str:
    """A random sentence, in lower case and without a full stop, that is true of `structure` and of nothing else.

    With the "wide" wording every word, number and relation comes from the plain tables or, as often, from wider ones.
    """
    sources = SOURCES[wording]
    clausal = rng.random() < 0.5
    phrase = _clause if clausal else _noun
    parts = [phrase(request, rng, sources) for request in structure.events]
    tables = _one(sources, rng)
    order = "then"
    if (BACKWARDS, len(parts)) in CLAUSE_TEMPLATES and rng.random() < 0.5:
        order = BACKWARDS
    templates = (tables.clause_templates if clausal else tables.noun_templates)[order, len(parts)]
    if structure.background is None:
        alone = tables.clauses_alone if clausal else tables.nouns_alone
        templates = (*templates, *alone.get((order, len(parts)), ()))
    text = _pick(templates, rng).format(*parts)
    if structure.events[0].at is not None:
        text = _at(text, structure.events[0].at, rng, _one(sources, rng))
    if structure.background is None:
        return text
    tables = _one(sources, rng)
    over = tables.clause_over if clausal else tables.noun_over
    if not clausal and len(parts) == 1 and structure.events[0].at is None:
        beside = tables.noun_beside if SOUNDS[structure.events[0].name].momentary else ()
        over = (*over, *tables.noun_during, *beside)
    template, under = _pick(over, rng), phrase(structure.background, rng, sources)
    if wording == "wide":  # never 'over the sound of the sound of rain falling'
        under = under.removeprefix("the sound of ")
    return template.format(text, b=under)


def phrases(wording: Wording = "plain") -> Iterator[str]:
    """Everything captions are made of."""
    for tables in SOURCES[wording]:
        for words in tables.words.values():
            yield from (form for unit in words.units for form in (with_article(unit), plural(unit)))
        yield from _texts(tables)
    yield from ("second", "seconds", "1")


def _texts(value: Any) -> Iterator[str]:
    """All texts in tables of tables."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))
    else:
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(item)


def all_words(wording: Wording = "plain") -> list[str]:
    """Every word a caption may use, sorted: the vocabulary of a small text encoder."""
    return sorted({word for phrase in phrases(wording)
                   for word in re.findall(r"[a-z]+|\b\d+\b", re.sub(r"{\w}", "", phrase))})


def plural(unit: str) -> str:
    """The regular plural of `unit`."""
    return unit + ("es" if unit.endswith(("s", "sh", "ch", "x", "z")) else "s")


def _one(sources: Sources, rng: Generator) -> Tables:
    return sources[rng.integers(len(sources))] if len(sources) > 1 else sources[0]


def _clause(request: Request, rng: Generator, sources: Sources) -> str:
    clause = _pick(_one(sources, rng).words[request.name].clauses, rng)
    return _with_manner(_counted(clause, request, rng, sources), request.attributes, rng, sources)


def _noun(request: Request, rng: Generator, sources: Sources) -> str:
    tables = _one(sources, rng)
    words = tables.words[request.name]
    if words.units and rng.random() < 0.5:
        return _unit(_pick(words.units, rng), request, rng, sources)
    if request.count == 1 and words.nouns and rng.random() < 0.4:
        return _with_manner(_pick(words.nouns, rng), request.attributes, rng, sources)
    participle = _pick(words.participles, rng)
    if len(tables.participle_frames) > 1:
        participle = _pick(tables.participle_frames, rng).format(participle)
    return _with_manner(_counted(participle, request, rng, sources), request.attributes, rng, sources)


def _unit(unit: str, request: Request, rng: Generator, sources: Sources) -> str:
    """'two loud dog barks', 'a dog bark in the distance'."""
    before = [word for word in request.attributes if word in ADJECTIVES and rng.random() < 0.7]
    after = [word for word in request.attributes if word not in before]
    unit = " ".join([*(_pick(_one(sources, rng).adjectives[word], rng) for word in before), unit])
    if request.count > 1:
        text = f"{_pick(_one(sources, rng).numbers[request.count], rng)} {plural(unit)}"
    else:
        said = rng.random() < SAY_ONCE
        text = f"{_pick(_one(sources, rng).numbers[1], rng)} {unit}" if said else with_article(unit)
    return _with_manner(text, after, rng, sources)


def _counted(phrase: str, request: Request, rng: Generator, sources: Sources) -> str:
    said = request.count > 1 or (SOUNDS[request.name].momentary and rng.random() < SAY_ONCE)
    return f"{phrase} {_pick(_one(sources, rng).times[request.count], rng)}" if said else phrase


def _with_manner(phrase: str, attributes: Phrases | list[str], rng: Generator, sources: Sources) -> str:
    if len(attributes) > 1:
        attributes = [attributes[i] for i in rng.permutation(len(attributes))]
    adverbs = [_pick(_one(sources, rng).adverbs[word], rng) for word in attributes]
    return " and ".join([" ".join([phrase, *adverbs[:1]]), *adverbs[1:]])


def _at(text: str, second: float, rng: Generator, frame: Tables) -> str:
    number = f"{second:g}"
    if second == int(second) and int(second) in NUMBERS:
        number = NUMBERS[int(second)][0] if rng.random() < 0.5 else number
    return _pick(frame.at, rng).format(text, n=number, s="second" if second == 1 else "seconds")


def with_article(unit: str) -> str:
    """'a bark', 'an electronic beep'."""
    return f"{'an' if unit[0] in 'aeiou' else 'a'} {unit}"


def _pick(options: Phrases, rng: Generator) -> str:
    return options[rng.integers(len(options))]
