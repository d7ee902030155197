"""Scores of captions agree with the published code, order and count what captions state, and say what is missing."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from diffsound.evaluation import score
from diffsound.evaluation.caption_scores import bleu, caption_scores, cider, ideal_timeline, rouge_l, scene_rows
from diffsound.scenes import Request, Structure, World, caption
from diffsound.scenes.world import DRAW

FULL = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)
BLEU = [f"bleu_{n}" for n in range(1, 5)]
extra = pytest.importorskip("pycocoevalcap.bleu.bleu", reason="the extra eval is not installed")
java = pytest.mark.skipif(shutil.which("java") is None, reason="no java, which cuts the words for CIDEr")


def drawn(number: int, seed: int = 0) -> tuple[list[Structure], list[list[str]]]:
    rng = np.random.default_rng(seed)
    structures = [FULL.draw(rng) for _ in range(number)]
    return structures, [[caption(structure, rng) for _ in range(4)] for structure in structures]


@java
def test_another_wording_of_the_truth_beats_a_caption_of_another_clip():
    structures, captions = drawn(40)
    references = [texts[1:] for texts in captions]
    own = caption_scores([texts[0] for texts in captions], references, structures)
    other = caption_scores([texts[0] for texts in captions[1:] + captions[:1]], references, structures)
    assert not own.skipped
    for name, rows in own.rows.items():
        assert len(rows.values) == 40
        assert rows.value > other.rows[name].value or (name == "read" and rows.value == 1)
    assert own.rows["exact"].value == own.rows["f1"].value == own.rows["order"].value == 1
    assert other.rows["exact"].value == 0


@java
def test_a_candidate_that_is_the_only_reference_has_the_best_score():
    _, captions = drawn(12)
    texts = [texts[0] for texts in captions if len(texts[0].split()) > 3]  # CIDEr has 0 for words in a row too few
    rows = caption_scores(texts, [[text] for text in texts]).rows
    assert rows["cider"].value == pytest.approx(10)
    assert [rows[name].value for name in [*BLEU, "rouge_l"]] == pytest.approx([1] * 5, abs=1e-6)


@java
def test_cider_weighs_rare_words_more():
    references = [[f"a {name} barks in the garden"] for name in ("dog", "cat", "bird", "duck")]
    rows = cider(["a dog sings", "a mouse barks in the garden", "a bird barks in the garden", ""], references)["cider"]
    rare, common, same, nothing = rows.values
    assert same == pytest.approx(10)
    assert rare > common  # one word of a caption alone is worth more than five of all
    assert nothing == 0


def test_bleu_of_rows_is_bleu_of_the_published_code_also_of_some_of_them():
    _, captions = drawn(30)
    candidates = [" ".join(texts[0].split()[: 3 + i % 9]) for i, texts in enumerate(captions)]  # some too short
    references = [texts[1:] for texts in captions]
    rows = bleu(candidates, references)
    plain = {i: [text.replace(",", "") for text in texts]
             for i, texts in enumerate([*references, *[[text] for text in candidates]])}
    for chosen in (range(30), [3, 3, 3, 17, 8]):
        theirs, _ = extra.Bleu(4).compute_score({n: plain[i] for n, i in enumerate(chosen)},
                                                {n: plain[30 + i] for n, i in enumerate(chosen)}, verbose=0)
        assert [rows[name].statistic(rows[name].values[list(chosen)]) for name in BLEU] == pytest.approx(theirs)


def test_rouge_and_bleu_by_hand():
    rows = rouge_l(["a dog barks twice"], [["a dog then barks"]])["rouge_l"]
    assert rows.value == pytest.approx(3 / 4)  # precision and recall alike
    assert bleu(["A dog, barks!"], [["a dog barks loudly"]])["bleu_1"].value == pytest.approx(np.exp(1 - 4 / 3))


def test_what_a_structure_states_is_heard_in_its_ideal_timeline():
    for structure in drawn(600)[0]:
        assert score(ideal_timeline(structure), structure).exact == (1, 1)


@pytest.mark.parametrize(("told", "name", "value"), [
    (Structure((Request("dog", 2), Request("cat"))), "order", 1),
    (Structure((Request("cat"), Request("dog", 2))), "order", 0),
    (Structure((Request("dog", 3), Request("cat"))), "count", 1 / 2), (Structure((Request("dog", 2),)), "f1", 2 / 3),
    (Structure((Request("dog", 2),)), "order", 0), (None, "f1", 0), (None, "read", 0), (None, "exact", 0),
    (Structure((Request("dog", 2, ("loud",)), Request("cat"))), "exact", 0),
])
def test_one_mistake_costs_what_it_should(told, name, value):
    asked = Structure((Request("dog", 2), Request("cat")))
    assert scene_rows([told], [asked])[name].value == pytest.approx(value)


def test_without_java_cider_is_left_out_with_its_reason(monkeypatch):
    monkeypatch.setenv("PATH", "")
    structures, captions = drawn(3)
    scores = caption_scores([texts[0] for texts in captions], captions, structures)
    assert scores.skipped.keys() == {"cider"}
    assert "install a Java runtime" in scores.skipped["cider"]
    assert {*BLEU, "rouge_l", "f1", "exact"} <= scores.rows.keys()


def test_without_the_extra_only_structures_are_scored(monkeypatch):
    for module in ("cider.cider", "bleu.bleu_scorer", "rouge.rouge"):
        monkeypatch.setitem(sys.modules, f"pycocoevalcap.{module}", None)  # None: not to be imported
    structures, captions = drawn(3)
    scores = caption_scores([texts[0] for texts in captions], captions, structures)
    assert scores.skipped.keys() == {"cider", "bleu", "rouge_l"}
    assert all("[eval]" in reason for reason in scores.skipped.values())
    assert scores.rows["exact"].value == 1


def test_spice_without_its_models_says_where_they_go():
    scores = caption_scores(["a dog barks"], [["a dog barks"]], spice=True)
    assert "stanford-corenlp-3.6.0-models.jar" in scores.skipped["spice"] or "spice" in scores.rows


@pytest.mark.parametrize(("candidates", "references", "message"), [
    ([], [], "0 candidates"), (["a"], [["a"], ["b"]], "1 candidates, 2 references"),
    (["a"], [[]], "clip 0 has no reference"),
    (["a", "b"], [["a"], [" "]], "clip 1 has no reference"),
])
def test_captions_that_do_not_fit_are_refused(candidates, references, message):
    with pytest.raises(ValueError, match=message):
        caption_scores(candidates, references)
