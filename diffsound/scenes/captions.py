"""Structures in words: many grammatical English sentences for the same truth."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from numpy.random import Generator

from diffsound.scenes.structure import Structure

Phrases = tuple[str, ...]


@dataclass(frozen=True)
class Wording:
    """Phrases for one class of sound."""

    clauses: Phrases  # 'a dog barks', 'a dog barks twice'
    participles: Phrases  # 'a dog barking', 'a dog barking twice'
    nouns: Phrases = ()  # 'a barking dog'; never counted
    units: Phrases = ()  # 'dog bark': 'a dog bark', 'two dog barks'; regular plurals only


WORDINGS: dict[str, Wording] = {
    "beep": Wording(("a machine beeps", "a device beeps"), ("a machine beeping", "a device beeping"),
                    ("a beeping device",), ("beep", "electronic beep")),
    "bell": Wording(("a bell rings", "a bell chimes"), ("a bell ringing", "bell ringing", "a bell chiming"),
                    ("a ringing bell", "the sound of a bell"), ("bell chime", "bell ring")),
    "whistle": Wording(("a whistle blows", "a referee blows a whistle"),
                       ("a whistle blowing", "a referee blowing a whistle"),
                       ("the sound of a whistle",), ("whistle blast", "whistle blow")),
    "horn": Wording(("a car honks", "a car horn sounds"), ("a car honking", "a car horn sounding"),
                    ("a honking car", "the sound of a car horn"), ("car honk", "honk", "horn blast")),
    "knock": Wording(("someone knocks on a door", "someone knocks"),
                     ("someone knocking on a door", "a person knocking"),
                     units=("knock", "door knock")),
    "drum": Wording(("a drum is hit", "someone hits a drum"), ("a drum being hit", "someone hitting a drum"),
                    ("the sound of a drum",), ("drum hit", "drum beat")),
    "glass": Wording(("a glass clinks", "glass clinks"), ("a glass clinking", "glass clinking"),
                     ("a clinking glass",), ("glass clink", "clink")),
    "dog": Wording(("a dog barks", "a dog lets out a bark"), ("a dog barking", "dog barking"),
                   ("a barking dog",), ("dog bark", "bark")),
    "cat": Wording(("a cat meows", "a cat lets out a meow"), ("a cat meowing", "cat meowing"),
                   ("a meowing cat",), ("cat meow", "meow")),
    "bird": Wording(("a bird chirps", "a bird tweets"), ("a bird chirping", "bird chirping"),
                    ("a chirping bird",), ("bird chirp", "chirp")),
    "duck": Wording(("a duck quacks", "a duck lets out a quack"), ("a duck quacking", "duck quacking"),
                    ("a quacking duck",), ("duck quack", "quack")),
    "siren": Wording(("a siren wails", "a siren sounds", "an emergency siren wails"),
                     ("a siren wailing", "siren wailing"), ("a siren", "a wailing siren", "an emergency siren")),
    "rain": Wording(("it rains", "rain falls", "rain pours down"), ("rain falling",), ("rain", "falling rain")),
    "wind": Wording(("the wind blows", "wind howls", "the wind howls"), ("wind blowing", "wind howling"),
                    ("wind", "howling wind")),
    "wave": Wording(("a wave breaks", "a sea wave crashes", "an ocean wave breaks"),
                    ("a wave breaking", "a sea wave crashing"), ("a breaking wave", "an ocean wave")),
    "thunder": Wording(("thunder rumbles", "thunder rolls", "it thunders"), ("thunder rumbling", "thunder rolling"),
                       ("thunder", "rumbling thunder")),
    "engine": Wording(("an engine runs", "an engine hums", "a motor runs"),
                      ("an engine running", "a motor running"), ("an engine", "a running engine")),
    "helicopter": Wording(("a helicopter flies overhead", "a helicopter flies by", "a helicopter hovers"),
                          ("a helicopter flying", "a helicopter flying overhead"),
                          ("a helicopter", "a flying helicopter")),
}

BACKWARDS = "then, told backwards"
# Each relation between clauses ('a dog barks') and between nouns ('two barks', 'a dog barking'). {0} sounds first in
# "then"; {1} is the background in "while". Pairs are told backwards, later sound first, as often as forwards: else the
# order of the words would give away the order of the sounds, and nothing would be learned of "after" and "before".
CLAUSE_TEMPLATES: dict[tuple[str, int], Phrases] = {
    ("alone", 1): ("{0}",),
    ("then", 2): ("{0}, then {1}", "{0} and then {1}", "first {0}, then {1}", "{0} before {1}", "after {0}, {1}"),
    (BACKWARDS, 2): ("{1} after {0}", "before {1}, {0}"),
    ("then", 3): ("{0}, then {1}, then {2}", "first {0}, then {1}, and finally {2}", "{0}, then {1}, and then {2}",
                  "after {0}, {1}, and then {2}"),
    ("while", 2): ("{0} while {1}", "{0} as {1}", "while {1}, {0}", "as {1}, {0}"),
}
NOUN_TEMPLATES: dict[tuple[str, int], Phrases] = {
    ("alone", 1): ("{0}",),
    ("then", 2): ("{0}, then {1}", "{0} and then {1}", "{0} followed by {1}", "first {0}, then {1}", "{0} before {1}"),
    (BACKWARDS, 2): ("{1} after {0}", "{1} preceded by {0}"),
    ("then", 3): ("{0}, then {1}, then {2}", "first {0}, then {1}, and finally {2}", "{0} followed by {1} and then {2}",
                  "{0}, {1}, and then {2}"),
    ("while", 2): ("{0} with {1} in the background", "{0} and {1} at the same time", "{1} and {0} at the same time",
                   "{0} over the sound of {1}"),
}
NUMBERS: dict[int, Phrases] = {1: ("one", "a single"), 2: ("two", "2"), 3: ("three", "3"), 4: ("four", "4")}
TIMES: dict[int, Phrases] = {1: ("once", "one time"), 2: ("twice", "two times", "2 times"),
                             3: ("three times", "3 times"), 4: ("four times", "4 times")}
SAY_ONCE = 0.15  # how often a count of one is spelt out


def caption(structure: Structure, rng: Generator) -> str:
    """A random sentence, in lower case and without a full stop, that is true of `structure` and of nothing else."""
    clausal = rng.random() < 0.5
    phrase, templates = (_clause, CLAUSE_TEMPLATES) if clausal else (_noun, NOUN_TEMPLATES)
    parts = [phrase(name, count, rng) for name, count in zip(structure.names, structure.counts, strict=True)]
    relation = structure.relation
    if relation == "then" and (BACKWARDS, len(parts)) in templates and rng.random() < 0.5:
        relation = BACKWARDS
    return _pick(templates[relation, len(parts)], rng).format(*parts)


def phrases() -> Iterator[str]:
    """Everything captions are made of."""
    for wording in WORDINGS.values():
        yield from (*wording.clauses, *wording.participles, *wording.nouns)
        yield from (form for unit in wording.units for form in (_with_article(unit), unit + "s"))
    for table in (CLAUSE_TEMPLATES, NOUN_TEMPLATES, NUMBERS, TIMES):
        yield from (text for texts in table.values() for text in texts)


def all_words() -> list[str]:
    """Every word a caption may use, sorted: the vocabulary of a small text encoder."""
    return sorted({word for phrase in phrases() for word in re.findall(r"[a-z]+|\b\d+\b", re.sub(r"{\d}", "", phrase))})


def _clause(name: str, count: int, rng: Generator) -> str:
    return _counted(_pick(WORDINGS[name].clauses, rng), name, count, rng)


def _noun(name: str, count: int, rng: Generator) -> str:
    wording = WORDINGS[name]
    if wording.units and rng.random() < 0.5:
        unit = _pick(wording.units, rng)
        if count > 1:
            return f"{_pick(NUMBERS[count], rng)} {unit}s"
        return f"{_pick(NUMBERS[1], rng)} {unit}" if rng.random() < SAY_ONCE else _with_article(unit)
    if count == 1 and wording.nouns and rng.random() < 0.4:
        return _pick(wording.nouns, rng)
    return _counted(_pick(wording.participles, rng), name, count, rng)


def _counted(phrase: str, name: str, count: int, rng: Generator) -> str:
    said = count > 1 or (WORDINGS[name].units and rng.random() < SAY_ONCE)
    return f"{phrase} {_pick(TIMES[count], rng)}" if said else phrase


def _with_article(unit: str) -> str:
    return f"{'an' if unit[0] in 'aeiou' else 'a'} {unit}"


def _pick(options: Phrases, rng: Generator) -> str:
    return options[rng.integers(len(options))]
