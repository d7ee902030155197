"""The wide wording: many more words, each of them true of one class alone, and the same truth in every sentence."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest

from diffsound.scenes import MOMENTARY, SOUNDS, Request, Structure, World, caption, make_scene, read
from diffsound.scenes.captions import PLAIN, plural
from diffsound.scenes.tables import BACKWARDS
from diffsound.scenes.wider_tables import WIDER
from diffsound.scenes.wider_words import WIDER_WORDS
from diffsound.scenes.world import DRAW

FULL = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.5, wording="wide")
DOG, CAT, RAIN = map(Request, ("dog", "cat", "rain"))
OTHER = re.compile(
    r"\b(loud\w*|noisy|quiet\w*|soft\w*|faint\w*|high|low|deep|shrill|quick\w*|fast|rapid\w*|slow\w*|near\w*|close|distant"
    r"|far|long|short|brief\w*|then|next|after|before|while|as|first|last|later|earlier|once|ends?|starts?|begins?|one"
    r"|single|two|twice|pair|both|several|many|seconds?|over and over)\b")


def drawn(number: int, world: World = FULL, seed: int = 3) -> list[tuple[Structure, str]]:
    rng = np.random.default_rng(seed)
    structures = [world.draw(rng) for _ in range(number)]
    return [(structure, caption(structure, rng, world.wording)) for structure in structures]


def phrases(name: str, tables=WIDER) -> list[str]:
    words = tables.words[name]
    return [*words.clauses, *words.participles, *words.nouns, *words.units]


def test_plain_captions_are_what_they_were():
    digest = hashlib.sha256()
    for world in (World(), World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)):
        for _, text in drawn(300, world):
            digest.update(text.encode())
    assert digest.hexdigest() == "f0fed061b76b0a7136c8987b2397343abf4ad473caacfcd84c8d9f0269f5b502"


def test_every_wide_caption_states_its_structure_and_no_other():
    for structure, text in drawn(4000):
        assert read(text, "wide") == structure, text


def test_wide_reading_knows_plain_captions():
    for structure, text in drawn(2000, replace(FULL, wording="plain")):
        assert read(text, "wide") == structure, text


def test_plain_reading_does_not_know_wide_words():
    assert read("a hound woofs") is None
    assert read("a hound woofs", "wide") == read("a dog barks", "wide") == Structure((DOG,))


def test_all_classes_have_many_more_words():
    assert set(WIDER_WORDS) == set(SOUNDS)
    for name, words in WIDER_WORDS.items():
        assert min(len(set(words.clauses)), len(set(words.participles))) >= 8, name
        assert words.nouns, name
        assert bool(words.units) == (name in MOMENTARY), name
        assert not set(phrases(name)) & set(phrases(name, PLAIN)), name


def test_every_phrase_belongs_to_one_class():
    owners: dict[str, str] = {}
    for tables in (PLAIN, WIDER):
        for name in SOUNDS:
            for phrase in phrases(name, tables):
                assert owners.setdefault(phrase, name) == name, phrase


def test_phrases_say_nothing_of_manner_number_or_time():
    said = [phrase for name in SOUNDS for phrase in phrases(name) if OTHER.search(phrase)]
    assert not said


def test_captions_are_clean_english():
    for _, text in drawn(3000, seed=5):
        assert not re.search(r"\ba [aeiou]", text), text
        assert not re.search(r"\ban [^aeiou]", text), text
        assert not re.search(r"\b(\w+) \1\b", re.sub("tick tick", "tick", text)), text
        assert not re.search(r"the sound of the sound of|[{}/]|  ", text), text


def place(text: str, name: str) -> int:
    said = {form for tables in (PLAIN, WIDER) for phrase in phrases(name, tables) for form in (phrase, plural(phrase))}
    return min(text.find(phrase) for phrase in said if phrase in text)


def test_pairs_are_told_backwards_as_often_as_forwards():
    pairs = World(kinds={"then": 1, "count then": 1}, wording="wide")
    backwards = [place(text, structure.events[0].name) > place(text, structure.events[1].name)
                 for structure, text in drawn(1500, pairs)]
    assert 0.45 < np.mean(backwards) < 0.55
    assert {key for key in WIDER.nouns_alone if key[1] == 2} == {("then", 2), (BACKWARDS, 2)}


EARLIER = re.compile(r"after {|preceded|before (it|this|that)|earlier|first|start|reverse")  # than what was named first


def test_templates_mean_the_order_that_they_stand_for():
    for table in (WIDER.clause_templates, WIDER.clauses_alone, WIDER.noun_templates, WIDER.nouns_alone):
        for (relation, number), templates in table.items():
            backwards = relation == BACKWARDS
            for template in templates:
                assert re.findall(r"{(\d)}", template) == sorted(map(str, range(number)), reverse=backwards), template
                told = template if "reverse" in template else template.partition("}")[2]
                assert bool(EARLIER.search(told)) == backwards, template


def test_half_of_the_words_are_the_plain_ones():
    texts = drawn(1500, World(kinds={"single": 1}, wording="wide"))
    plain = [any(re.search(rf"\b{phrase}\b", text) for phrase in phrases(structure.names[0], PLAIN))
             for structure, text in texts]
    assert 0.42 < np.mean(plain) < 0.65
    assert len({text for _, text in texts}) > 900


@pytest.mark.parametrize(("text", "structure"), [
    ("a hound woofs twice; then a kitty meows", Structure((Request("dog", 2), CAT))),
    ("a kitty meows. before that, a hound woofs", Structure((DOG, CAT))),
    ("start with a pair of woofs, end with the mew of a cat", Structure((Request("dog", 2), CAT))),
    ("end with a cat meowing, start with a dog yelping", Structure((DOG, CAT))),
    ("keywords in order: a woof, a mew, a downpour", Structure((DOG, CAT, RAIN))),
    ("you can hear the sound of a poodle barking on three occasions", Structure((Request("dog", 3),))),
    ("Background: it pours. Foreground: a dog woofs, later a cat mews at full volume", None),  # a cat does not 'mews'
    ("background: it pours. foreground: a dog woofs, later a tabby mews at full volume",
     Structure((DOG, Request("cat", 1, ("loud",))), RAIN)),
    ("wait 2 seconds: a hound barks", Structure((Request("dog", at=2.0),))),
    ("exactly two barely audible woofs", Structure((Request("dog", 2, ("faint",)),))),
])
def test_sentences_written_by_hand(text, structure):
    assert read(text, "wide") == structure


def test_scenes_of_a_wide_world_differ_in_their_words_alone():
    plain, wide = (make_scene(0, 7, 8000, 8000, World(wording=wording)) for wording in ("plain", "wide"))
    assert plain.structure == wide.structure
    assert plain.captions != wide.captions
    assert all(read(text, "wide") == wide.structure for text in wide.captions)


def test_another_wording_is_refused():
    with pytest.raises(ValueError, match="world.wording is 'broad', expected one of plain, wide"):
        World(wording="broad")
