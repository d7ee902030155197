"""Captions are grammatical, vary, and can be read back: sounds, counts and order are those of the scene."""

from __future__ import annotations

import re

import numpy as np
import pytest

from diffsound.scenes import MOMENTARY, SOUNDS, Structure, all_words, caption, make_scene
from diffsound.scenes.captions import WORDINGS

SCENES = [make_scene(1, index, num_samples=44100) for index in range(300)]
CAPTIONS = [(text, scene) for scene in SCENES for text in scene.captions]

# A reader that shares no template with the writer: a stem for each class, number words, and the words of time.
STEMS = {"beep": "beep", "bell": "bell", "whistle": "whistle", "horn": "honk|horn", "knock": "knock", "drum": "drum",
         "glass": "clink", "dog": "dog|bark", "cat": "meow", "bird": "bird|chirp", "duck": "duck|quack",
         "siren": "siren", "rain": "rain", "wind": "wind", "wave": "wave", "thunder": "thunder",
         "engine": "engine|motor", "helicopter": "helicopter"}
NUMBER = {"one": 1, "once": 1, "single": 1, "two": 2, "twice": 2, "2": 2, "three": 3, "3": 3, "four": 4, "4": 4}
BREAKS = "|".join([", and finally ", ", and then ", ", then ", " and then ", " followed by ", " preceded by ",
                   " before ", " after ", " while ", " as ", " with ", " over the sound of ", " and ", ", "])


def names_in(text: str) -> list[str]:
    """Classes in the order in which the words name them."""
    places = {name: re.search(rf"\b(?:{stem})", text) for name, stem in STEMS.items()}
    return sorted((name for name, place in places.items() if place), key=lambda name: places[name].start())


def reads_backwards(text: str) -> bool:
    return text.startswith("before ") or " preceded by " in text or " after " in text


@pytest.mark.parametrize(("text", "scene"), CAPTIONS[::3], ids=lambda value: value if isinstance(value, str) else "")
def test_words_of_order_agree_with_the_timeline(text, scene):
    told = names_in(text)
    assert sorted(told) == sorted(scene.structure.names)
    heard = list(dict.fromkeys(event.name for event in scene.events))
    if scene.structure.relation == "while":
        assert re.search(r"while|\bas\b|in the background|at the same time|over the sound of", text)
        assert heard[0] == scene.structure.names[1]
    else:
        assert (told[::-1] if reads_backwards(text) else told) == heard


def test_numbers_in_the_words_are_counts_of_events():
    for text, scene in CAPTIONS:
        for part in re.split(BREAKS, re.sub(r"^(first|before|after|while|as) ", "", text)):
            said = [NUMBER[word] for word in re.findall(r"\w+", part) if word in NUMBER]
            for name in names_in(part):
                count = sum(event.name == name for event in scene.events)
                assert said == [count] or (not said and count == 1), text


def test_captions_are_clean_english():
    for text, _ in CAPTIONS:
        assert re.fullmatch(r"[a-z0-9]+(,? [a-z0-9]+)*", text), text
        assert not re.search(r"\ban? [aeiou]", text.replace("an ", "")), text  # 'a engine'
        assert not re.search(r"\ban [^aeiou]", text), text
        assert not re.search(r"\b(\w+) \1\b", text), text
        assert not re.search(r"\bis \w+ing\b.*\b(times|twice|once)", text), text


def test_one_structure_has_many_wordings():
    for structure in [Structure("alone", ("dog",), (2,)), Structure("then", ("dog", "rain")),
                      Structure("while", ("dog", "rain")), Structure("then", ("dog", "rain", "horn"))]:
        assert len({caption(structure, np.random.default_rng(seed)) for seed in range(300)}) > 10


def test_pairs_are_told_backwards_as_often_as_forwards():
    for kind in ("then", "count then"):
        texts = [text for text, scene in CAPTIONS if scene.structure.kind == kind]
        assert 0.42 < np.mean([reads_backwards(text) for text in texts]) < 0.58


def test_every_class_has_words_and_momentary_ones_can_be_counted():
    assert set(WORDINGS) == set(SOUNDS)
    assert all(bool(wording.units) == (name in MOMENTARY) for name, wording in WORDINGS.items())


def test_the_vocabulary_covers_every_caption():
    vocabulary = set(all_words())
    assert {word for text, _ in CAPTIONS for word in re.findall(r"\w+", text)} <= vocabulary
    assert len(vocabulary) < 200
    assert not vocabulary & {"0", "1", "s"}
