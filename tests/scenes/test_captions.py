"""Captions are grammatical, vary, and can be read back: sounds, counts and order are those of the scene."""

from __future__ import annotations

import re

import numpy as np
import pytest

from diffsound.scenes import MOMENTARY, SOUNDS, Request, Structure, World, all_words, caption, make_scene
from diffsound.scenes.captions import plural
from diffsound.scenes.world import DRAW

FULL = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)
SCENES = [make_scene(1, index, world=world) for world in (World(), FULL) for index in range(300)]
CAPTIONS = [(text, scene) for scene in SCENES for text in scene.captions]

# A reader that shares no template with the writer: words that tell each class, number words, and the words of time.
# What an earlier line has read is not read again: 'a kettle whistles' has no whistle.
STEMS = {
    "alarm_clock": r"(beeping )?(alarm clock|clock alarm)( beep\w*)?", "helicopter": "helicopter",
    "kettle": r"kettle( whist\w+)?|whistling kettle",
    "train": r"steam (train|engine)|train|locomotive", "vacuum_cleaner": r"vacuum\w*( cleaner)?( hum\w*)?", "shatter":
    r"shatter\w*|glass (break\w*|crash\w*)|breaking glass|bottle", "doorbell": r"door ?(bell|chime)\w*|ding dong",
    "telephone": r"telephone|phone(?! notif)", "ping": r"notification|\bping(s|ing)?\b|message",
    "robot": "robot|computer|bleep",
    "crow": r"\bcaw|raven", "rooster": "rooster|cockerel|cock crow", "beep": r"beep\w*", "bell": "bell",
    "whistle": r"whistle( blasts?)?|referee", "horn": r"honk|horn( blasts?)?", "slam": "slam",
    "creak": "creak|squeak|hinge", "knock": "knock",
    "drum": "drum", "glass": "clink", "dog": "dog|bark|puppy", "cat": r"meow", "bird": "chirp|tweet",
    "duck": "duck|quack|mallard",
    "cow": r"\bcow\b|moo|calf", "sheep": "sheep|bleat|lamb", "frog": "frog|croak|toad|ribbit", "crickets": "cricket",
    "bee": r"(\bbee\b|\bfly\b|insect)( buzz\w*)?", "buzzer": r"buzzer|\bbuzz(es)?\b",
    "owl": r"\bowl|hoot",
    "siren": "siren", "gong": "gong", "coin": r"\bcoin|jingl", "drip": r"drip|water drop|drop of water",
    "splash": "splash|into water",
    "bubbles": r"bubbl|boil", "stream": "stream|brook|creek", "rain": r"\brain|it rains", "wind": r"\bwind\b|gale",
    "wave": r"\bwave|surf",
    "thunder": "thunder", "fire": r"\bfire\b|campfire|flames", "engine": "engine|motor",
    "aeroplane": "aeroplane|jet|plane",
    "saw": r"\bsaw|handsaw|carpenter", "drill": "drill", "hammer": "hammer|smith", "axe": r"\baxe|chop",
    "zipper": r"\bzip",
    "clock": r"\bclock|watch", "typing": r"\btyp|keyboard", "explosion": r"explo|bomb|firework|\bblasts?\b",
    "footsteps":
    "footsteps|walk|steps", "clap": r"\bclap|hands", "cough": "cough", "sneeze": "sneez|achoo", "snoring": "snor",
    "baby":
    "baby|infant|newborn", "laughter": "laugh|giggl", "zap": r"laser|ray gun|\bzap", "static": "static|radio",
    "hum": r"transformer|mains|power line|\bhum\b"}
NUMBER = {"one": 1, "once": 1, "single": 1, "two": 2, "twice": 2, "2": 2, "three": 3, "3": 3, "thrice": 3, "four": 4,
          "4": 4}
SECOND = re.compile(r"(starting )?at second (one|two|three|\d)|(at the )?\w+ second mark|"
                    r"(at |after )?(one|two|three|\d) seconds? (in(to it)?|from the start)|"
                    r"at (one|two|three|\d) seconds?|\w+ seconds? into it")


def names_in(text: str) -> list[str]:
    """Classes in the order in which the words name them."""
    places = {}
    for name, stem in STEMS.items():
        if place := re.search(rf"(?:{stem})", text):
            places[name] = place.start()
            text = re.sub(rf"(?:{stem})", lambda match: "_" * len(match.group()), text)
    return sorted(places, key=places.get)


def reads_backwards(text: str) -> bool:
    return bool(re.search(r"(^|, | and )before | preceded by | following |, but first |(?<!and)(?<!,) after (?!which)",
                          text))


@pytest.mark.parametrize(("text", "scene"), CAPTIONS[::6], ids=lambda value: value if isinstance(value, str) else "")
def test_words_of_order_agree_with_the_timeline(text, scene):
    told = names_in(text)
    structure = scene.structure
    assert sorted(told) == sorted(structure.names)
    heard = list(dict.fromkeys(event.name for event in scene.events))
    if structure.background:
        assert re.search(r"while|\bas\b|background|at the same time|over|during|amid|behind it", text)
        assert heard.pop(0) == structure.background.name
        told.remove(structure.background.name)
    if len(heard) > 1:
        assert (told[::-1] if reads_backwards(text) else told) == heard
    if structure.events[0].at is not None:
        assert SECOND.search(text)
        second = int(structure.events[0].at)
        assert re.search(rf"\b({second}|{['one', 'two', 'three'][second - 1]})\b", text)


def test_numbers_in_the_words_are_counts_of_events():
    for text, scene in CAPTIONS:
        plain = SECOND.sub("", text)
        counts = sorted(request.count for request in scene.structure.requests if request.count > 1)
        said = sorted(NUMBER[word] for word in re.findall(r"\w+", plain) if NUMBER.get(word, 0) > 1)
        assert said == counts, text


def test_every_attribute_is_said_and_no_other():
    for text, scene in CAPTIONS:
        said = [word for word, forms in READ.items() if re.search(rf"\b(?:{forms})\b", text)]
        asked = {word for request in scene.structure.requests for word in request.attributes}
        assert set(said) == asked, text


READ = {"high": r"high(?! volume)|shrill", "low": "low (pitch|tone)|low|deep",
        "fast": "quickly|rapidly|fast|quick|rapid",
        "slow": "slowly|slow|unhurriedly", "loud": "loudly|high volume|loud|noisy", "faint":
        "faintly|quietly|softly|faint|quiet|soft", "far": "distance|far away|a long way off|distant|faraway",
        "near": "close by|nearby|up close|close", "long": "for a long time|on and on|for long",
        "short": "briefly|for a moment|for a short time"}


def test_captions_are_clean_english():
    for text, _ in CAPTIONS:
        assert re.fullmatch(r"[a-z0-9]+(,? [a-z0-9]+)*", text), text
        assert not re.search(r"\ban? [aeiou]", text.replace("an ", "")), text  # 'a engine'
        assert not re.search(r"\ban [^aeiou]", text), text
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"\bis \w+ing\b.*\b(times|twice|once)", text), text


@pytest.mark.parametrize("structure", [
    Structure((Request("dog", 2),)), Structure((Request("dog"), Request("rain"))),
    Structure((Request("dog"),), Request("rain")), Structure((Request("dog"), Request("rain"), Request("horn"))),
    Structure((Request("dog"), Request("horn")), Request("rain")), Structure((Request("dog", at=2),))],
    ids=lambda structure: structure.kind)
def test_every_relation_has_at_least_eight_forms(structure):
    def form(text: str) -> str:
        for name in structure.names:
            words = SOUNDS[name].words
            for unit in words.units:
                text = re.sub(rf"(?:an?|one|a single) {unit}\b|\b{plural(unit)}\b", "NOUN", text)
            for sign, phrases in (("CLAUSE", words.clauses), ("NOUN", (*words.participles, *words.nouns))):
                for phrase in sorted(phrases, key=len, reverse=True):
                    text = re.sub(rf"{phrase}\b(?: once| one time)?", sign, text)
        return text

    forms = {form(caption(structure, np.random.default_rng(seed))) for seed in range(400)}
    assert all(re.sub("[^A-Z]", "", text) for text in forms)
    assert len(forms) >= 8, forms


def test_pairs_are_told_backwards_as_often_as_forwards():
    for kind in ("then", "count then"):
        texts = [text for text, scene in CAPTIONS if scene.structure.kind == kind]
        assert len(texts) > 200
        assert 0.42 < np.mean([reads_backwards(text) for text in texts]) < 0.58


def test_every_class_has_synonyms_and_momentary_ones_can_be_counted():
    for name, sound in SOUNDS.items():
        assert len(sound.words.clauses) >= 3, name
        assert len({*sound.words.participles, *sound.words.nouns}) >= 3, name
        assert bool(sound.words.units) == (name in MOMENTARY)
    assert set(STEMS) == set(SOUNDS)


def test_the_vocabulary_covers_every_caption():
    vocabulary = set(all_words())
    assert {word for text, _ in CAPTIONS for word in re.findall(r"\w+", text)} <= vocabulary
    assert len(vocabulary) < 500
    assert not vocabulary & {"0", "s"}
