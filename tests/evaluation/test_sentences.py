"""Held-out sentences: fair, valid, in words that no training caption has, and scored beside training captions."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict

import pytest
from tiny_system import tiny_system

from diffsound.evaluation.judge import load_judge
from diffsound.evaluation.report import write_report
from diffsound.evaluation.results import Results
from diffsound.evaluation.sentences import (
    CAPTIONS,
    COLUMNS,
    MADE,
    PARAPHRASES,
    TRUE,
    Sentence,
    read_asked,
    read_sentences,
    score_sentences,
)
from diffsound.mel import MelSettings
from diffsound.scenes import SOUNDS, Request, SceneDataModule, Structure, World, read
from diffsound.scenes.captions import SOURCES

SENTENCES = read_sentences(PARAPHRASES)
# Words that carry no sound: no sentence is new by them.
PLAIN = set(re.findall(r"\S+", """
    a an and as at by down for from give gives giving go goes going he her his in into is it its let lets letting man
    man's of off on onto or out over person says she somebody someone something sound sounding sounds that the their
    there to up when with"""))


def stem(word: str) -> str:
    """Alike for 'yap', 'yaps' and 'yapping'; 'tinkle' and 'tinkling'; 'bark' and 'barked'."""
    word = re.sub(r"(?<=...)(ing|ed|es|s|'s)$", "", word)
    return re.sub(r"(.)\1$", r"\1", word).removesuffix("e")


def content(text: str) -> set[str]:
    return {stem(word) for word in re.findall(r"[a-z']+", text) if word not in PLAIN}


TRAINED = {name: set().union(*(content(phrase) for tables in SOURCES["wide"] for words in [tables.words[name]]
                               for phrase in (*words.clauses, *words.participles, *words.nouns, *words.units)))
           for name in SOUNDS}
SINGLE: dict[str, list[Sentence]] = defaultdict(list)
for one in SENTENCES:
    if one.new in ("one word", "all words"):
        SINGLE[one.structure.names[0]].append(one)
SEVERAL = [one for one in SENTENCES if one.new in ("words", "words and relation")]


def test_there_are_enough_of_all_kinds():
    assert set(SINGLE) == set(SOUNDS)
    for name, sentences in SINGLE.items():
        assert all(one.structure == Structure((Request(name),)) for one in sentences)
        assert min(Counter(one.new for one in sentences).values()) >= 3, name
        assert {one.new for one in sentences} == {"one word", "all words"}, name
    assert min(Counter(one.new for one in SEVERAL).values()) >= 60
    kinds = Counter(one.structure.kind for one in SEVERAL)
    assert min(kinds[kind] for kind in ("then", "count", "count then", "while", "beside", "sequence")) >= 6
    assert sum(any(request.attributes for request in one.structure.requests) for one in SEVERAL) >= 18
    assert len({one.text for one in SENTENCES}) == len(SENTENCES)


@pytest.mark.parametrize("name", SOUNDS)
def test_every_single_sentence_has_a_word_that_its_class_was_never_trained_on(name):
    for one in SINGLE[name]:
        assert content(one.text) - TRAINED[name], one.text
        assert bool(content(one.text) & TRAINED[name]) == (one.new == "one word"), one.text


def test_sentences_of_several_sounds_name_each_by_a_held_out_word():
    for one in SEVERAL:
        for name in one.structure.names:
            held_out = set().union(*(content(single.text) for single in SINGLE[name])) - TRAINED[name]
            assert content(one.text) & held_out, (one.text, name)


def test_no_training_caption_is_a_held_out_sentence():
    assert [one.text for one in SENTENCES if read(one.text, "wide") or read(one.text)] == []


@pytest.mark.parametrize(("text", "structure"), [
    ("dog", Structure((Request("dog"),))),
    ("2 dog loud low > cat / rain", Structure((Request("dog", 2, ("low", "loud")), Request("cat")), Request("rain"))),
])
def test_what_is_asked_is_read(text, structure):
    assert read_asked(text) == structure


@pytest.mark.parametrize("text", ["", "dog cat", "hound", "0 dog", "9 dog", "dog >", "dog / cat", "rain slow", "dog /"])
def test_what_nobody_can_ask_for_is_refused(text):
    with pytest.raises(ValueError, match="expected"):
        read_asked(text)


@pytest.mark.parametrize(("content", "message"), [
    ("text,asks\n", "expected text, asks, new"), ("text,asks,new\n", "holds no sentences"),
    ("text,asks,new\nthe pooch yaps,pooch,all words\n", "line 2: no sound is called 'pooch'"),
    ("text,asks,new\nthe pooch yaps,dog,old\n", "line 2: new is 'old'"),
    ("text,asks,new\nthe pooch yaps\n", "line 2: "),
])
def test_a_broken_file_is_named(tmp_path, content, message):
    (tmp_path / "s.csv").write_text(content)
    with pytest.raises(ValueError, match=rf"s\.csv.*{message}"):
        read_sentences(tmp_path / "s.csv")
    with pytest.raises(FileNotFoundError, match="absent.csv"):
        read_sentences(tmp_path / "absent.csv")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A tiny system on six sentences, one of which is of a class that its world does not have."""
    folder = tmp_path_factory.mktemp("sentences")
    lines = ["the pooch yaps,dog,all words", "a cloudburst,rain,all words", "a cat yowls,cat,one word",
             "a tot bawls,baby,all words",
             "a mutt yaps twice,2 dog,words", "a mutt ahead of a moggy,dog > cat,words and relation"]
    (folder / "s.csv").write_text("\n".join([",".join(COLUMNS), *lines]))
    mel = MelSettings()
    world = World(("dog", "cat", "bird", "horn", "rain", "wind", "siren", "engine"), wording="wide")
    results = Results("tiny")
    results.content["protocol"] = {}
    data = SceneDataModule(mel, 64, num_test=4, world=world)
    score_sentences(results, tiny_system(mel), folder / "s.csv", data, load_judge(None), folder, seed=0)
    return folder, results


def test_sentences_are_scored_beside_captions_of_the_same_structures(scored):
    folder, results = scored
    for name in ("sentences_f1", "sentences_captions_f1", "sentences_order", "sentences_count"):
        made = results.scores[name]["made"]
        assert made["low"] <= made["value"] <= made["high"]
        assert results.scores[name]["ceiling"]["value"] >= made["value"]
    assert results.scores["sentences_f1"]["ceiling"]["value"] > results.scores["sentences_f1"]["made"]["value"]
    assert results.scores["sentences_f1"]["made"]["clips"] == 5
    assert results.content["protocol"]["sentences"]["left out, of other classes"] == 1
    parts = results.content["by"]["sentences"]
    assert {part.split(": ")[1] for part in parts} == {MADE, CAPTIONS, TRUE}
    assert parts[f"one sound, all words new: {MADE}"]["f1"]["clips"] == 2


def test_both_are_made_from_the_same_seeds_and_mean_the_same(scored):
    folder, _ = scored
    sidecars = {name: [json.loads(path.read_text()) for path in sorted((folder / name).glob("*.json"))]
                for name in ("sentences", "sentences_captions")}
    ours, theirs = sidecars["sentences"], sidecars["sentences_captions"]
    assert [one["seed"] for one in ours] == [one["seed"] for one in theirs]
    assert [one["text"] for one in ours] != [one["text"] for one in theirs]
    assert read(theirs[0]["text"], "wide") == Structure((Request("dog"),))
    assert read(theirs[4]["text"], "wide") == Structure((Request("dog"), Request("cat")))


def test_a_world_without_their_sounds_is_refused(tmp_path):
    (tmp_path / "s.csv").write_text("text,asks,new\na tot bawls,baby,all words\n")
    world = World(("dog", "cat", "bird", "horn", "rain", "wind", "siren", "engine"))
    data = SceneDataModule(MelSettings(), 64, num_test=4, world=world)
    with pytest.raises(ValueError, match="none of 1 sentences in .* is of sounds in audio.init_args.world.classes"):
        score_sentences(Results("tiny"), None, tmp_path / "s.csv", data, None, tmp_path, seed=0)


def test_the_page_shows_them(scored):
    folder, results = scored
    results.write(folder, 5)
    page = write_report(folder).read_text()
    assert "event F1, held-out sentences" in page
    assert f"one sound, all words new: {CAPTIONS}" in page
