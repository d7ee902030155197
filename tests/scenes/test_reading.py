"""Reading is the inverse of writing: every caption gives back its structure, and nothing else is taken for one."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from diffsound.scenes import AXES, SOUNDS, SUSTAINED, Request, Structure, World, caption, read
from diffsound.scenes.world import DRAW

WORLDS = [World(), World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)]
DOG, CAT, HORN, RAIN, WIND = map(Request, ("dog", "cat", "horn", "rain", "wind"))


def drawn(seed: int, number: int, world: World) -> list[tuple[Structure, str]]:
    rng = np.random.default_rng(seed)
    structures = [world.draw(rng) for _ in range(number)]
    return [(structure, caption(structure, rng)) for structure in structures]


@pytest.mark.parametrize("world", WORLDS, ids=["plain", "full"])
def test_every_caption_gives_back_its_structure(world):
    for structure, text in drawn(3, 4000, world):
        assert read(text) == structure, text


def test_also_of_structures_that_no_world_draws():
    """All attributes at once, in any role, and a second of a repeated sound."""
    rng = np.random.default_rng(4)
    for _ in range(1500):
        structure = WORLDS[1].draw(rng)
        events = [_with_all(request, rng) for request in structure.events]
        if len(events) == 1:
            events = [replace(events[0], at=float(rng.choice([0.5, 1, 2, 4, 12.25])))]
        structure = Structure(tuple(events), structure.background)
        text = caption(structure, rng)
        assert read(text) == structure, text


def _with_all(request: Request, rng: np.random.Generator) -> Request:
    return replace(request, attributes=tuple(AXES[axis][rng.integers(2)] for axis in rng.permutation(request.axes)))


def test_every_phrase_of_every_class_is_read():
    for name in SOUNDS:
        seen = set()
        for seed in range(60):
            text = caption(Structure((Request(name),)), np.random.default_rng(seed))
            assert read(text) == Structure((Request(name),)), text
            seen.add(text)
        assert len(seen) >= 6, name


@pytest.mark.parametrize(("text", "structure"), [
    ("a dog barks twice after a cat meows", Structure((CAT, Request("dog", 2)))),
    ("before a dog barks, a cat meows", Structure((CAT, DOG))),
    ("A dog barks,  then a cat meows.", Structure((DOG, CAT))),
    ("over wind, a loud low bark followed by two meows",
     Structure((Request("dog", 1, ("low", "loud")), Request("cat", 2)), WIND)),
    ("while it rains, at second 2, a car honks", Structure((Request("horn", at=2.0),), RAIN)),
    ("a car honking 1.5 seconds in", Structure((Request("horn", at=1.5),))),
    ("rain falling and a dog barking at the same time", Structure((DOG,), RAIN)),
])
def test_sentences_written_by_hand(text, structure):
    assert read(text) == structure


@pytest.mark.parametrize("text", [
    "", "hello", "a dog", "a dog barks, then", "a dog barks a cat meows", "a dog barks, then a dog barks twice",
    "two dog bark", "an dog bark", "a electronic beep", "a barking dog twice", "it rains twice", "two beeping devices",
    "a dog barks slowly", "a dog barks loudly and faintly", "a dog barks while a cat meows",
    "wind howling and rain falling at the same time", "a dog barks, then a cat meowing",
    "a dog barks 2 second in", "a dog barks one seconds in", "a dog barks at second 2 at second 3",
    "a dog barks at second 0",
    "a dog barks, then a cat meows at second 2", "a dogbarks", "a dog barks, [END]", "a dog barks loudly and",
])
def test_anything_else_is_none(text):
    assert read(text) is None


def test_a_word_said_twice_or_one_that_no_caption_has_is_not_read_over():
    rng = np.random.default_rng(5)
    for _, text in drawn(6, 1000, WORLDS[1]):
        words = text.split()
        at = rng.integers(len(words))
        assert read(" ".join([*words[:at], words[at], *words[at:]])) is None, text
        assert read(" ".join([*words[:at], "perhaps", *words[at:]])) is None, text


def test_two_sustained_sounds_are_never_worded_so_that_either_might_be_the_background():
    for front in SUSTAINED:
        background = "rain" if front != "rain" else "wind"
        structure = Structure((Request(front),), Request(background))
        texts = {caption(structure, np.random.default_rng(seed)) for seed in range(40)}
        assert not any("at the same time" in text for text in texts)


def test_it_is_quick():
    texts = [text for _, text in drawn(7, 1000, WORLDS[1])]
    started = time.process_time()
    for text in texts:
        read(text)
    assert time.process_time() - started < 1  # a tenth of that, usually
