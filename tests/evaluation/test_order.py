"""Scores are exact on timelines written by hand, and perfect on the true timelines of scenes."""

from __future__ import annotations

import pytest

from diffsound.evaluation import score, summarise, summarise_by
from diffsound.scenes import Event, Request, Structure, World, make_scene
from diffsound.scenes.world import DRAW


def events(*triples: tuple[str, float, float]) -> list[Event]:
    return [Event(*triple) for triple in triples]


BARK, BARK_AGAIN, RAIN = ("dog", 0.2, 0.5), ("dog", 0.8, 1.1), ("rain", 1.5, 3.0)
THEN = Structure((Request("dog", 2), Request("rain")))
WHILE = Structure((Request("dog"),), Request("rain"))


def test_what_was_asked_is_exact():
    result = score(events(BARK, BARK_AGAIN, RAIN), THEN)
    assert (result.precision, result.recall) == ((2, 2), (2, 2))
    assert (result.order, result.order_when_heard, result.count) == ((1, 1), (1, 1), (1, 1))
    assert (result.overlap, result.exact) == ((0, 0), (1, 1))


@pytest.mark.parametrize(("heard", "asked", "wrong"), [
    ([BARK, RAIN], THEN, {"count": (0, 1)}),  # one bark too few
    ([RAIN, ("dog", 3.1, 3.3), ("dog", 3.5, 3.7)], THEN, {"order": (0, 1), "order_when_heard": (0, 1)}),
    ([BARK, RAIN, ("dog", 3.1, 3.4)], THEN, {"order": (0, 1), "order_when_heard": (0, 1)}),  # rain between the barks
    ([BARK, BARK_AGAIN], THEN, {"recall": (1, 2), "order": (0, 1), "order_when_heard": (0, 0)}),
    ([BARK, BARK_AGAIN, RAIN, ("cat", 3.2, 3.7)], THEN, {"precision": (2, 3)}),
    ([], THEN, {"precision": (0, 0), "recall": (0, 2), "order": (0, 1), "order_when_heard": (0, 0), "count": (0, 1)}),
    ([BARK, RAIN], WHILE, {"overlap": (0, 1)}),  # one after the other
    ([("dog", 2.0, 2.3)], WHILE, {"recall": (1, 2), "precision": (1, 1), "overlap": (0, 1)}),
    ([BARK, BARK_AGAIN, ("rain", 0.9, 3.0)], THEN, {"order": (0, 1), "order_when_heard": (0, 1)}),  # while, not then
    ([("rain", 0.1, 1.0), ("dog", 1.5, 1.8), ("rain", 2.2, 3.0)], WHILE, {"overlap": (0, 1)}),  # by turns, not while
])
def test_each_mistake_costs_its_own_entry(heard, asked, wrong):
    right = score(events(BARK, BARK_AGAIN, RAIN) if asked is THEN else events(("dog", 2.0, 2.3), RAIN), asked)
    result = score(events(*heard), asked)
    assert right.exact == (1, 1)
    for name in ("precision", "recall", "order", "order_when_heard", "overlap", "count"):
        if name in wrong:
            assert getattr(result, name) == wrong[name]
        elif name != "precision":
            assert getattr(result, name) == getattr(right, name)
    assert result.exact == (0, 1)


def test_a_sequence_of_three_has_three_pairs():
    asked = Structure((Request("dog"), Request("rain"), Request("horn")))
    assert score(events(("dog", 0, 1), ("horn", 1, 2), ("rain", 2, 3)), asked).order == (2, 3)


PERFECT = {"onset_error": pytest.approx(0, abs=1e-3), "unasked": 0.0}


@pytest.mark.parametrize("world", [World(), World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6, rooms=1.0)])
def test_the_true_timeline_is_perfect_and_a_foreign_one_is_not(world):
    scenes = [make_scene(5, index, sample_rate=22050, world=world) for index in range(80)]
    asked = [scene.structure for scene in scenes]
    own = [score(scene.events, scene.structure) for scene in scenes]
    for summary in (summarise(own), *summarise_by(own, [structure.kind for structure in asked]).values()):
        assert summary == {name: PERFECT.get(name, 1.0) for name in summary}
    foreign = summarise([score(scene.events, other) for scene, other in zip(scenes[1:], asked[:-1], strict=True)])
    assert foreign["f1"] < 0.3
    assert foreign["exact"] < 0.05
    assert foreign["unasked"] > 0.7


@pytest.mark.parametrize(("word", "request_", "right", "wrong"), [
    ("high", Request("dog", attributes=("high",)), [Event("dog", 0, 0.3, {"pitch": 0.9})],
     [Event("dog", 0, 0.3, {"pitch": 0.5})]),
    ("faint", Request("rain", attributes=("faint",)), [Event("rain", 0, 1, {"level": 0.1})],
     [Event("rain", 0, 1, {"level": 0.4})]),
    ("long", Request("rain", attributes=("long",)), [Event("rain", 0, 2)], [Event("rain", 0, 1.5)]),
    ("short", Request("rain", attributes=("short",)), [Event("rain", 0, 0.7)], [Event("rain", 0, 1)]),
    ("fast", Request("dog", 2, ("fast",)), [Event("dog", 0, 0.3), Event("dog", 0.35, 0.6)],
     [Event("dog", 0, 0.3), Event("dog", 0.5, 0.8)]),
    ("slow", Request("dog", 2, ("slow",)), [Event("dog", 0, 0.3), Event("dog", 0.8, 1.1)],
     [Event("dog", 0, 0.3), Event("dog", 0.5, 0.8)]),
])
def test_attributes_are_heard_or_not(word, request_, right, wrong):
    asked = Structure((request_,))
    assert score(right, asked).attributes == (1, 1)
    assert score(wrong, asked).attributes == score([], asked).attributes == (0, 1)
    assert score(right, asked).exact == (1, 1)
    assert score(wrong, asked).exact == (0, 1)


def test_a_sustained_sound_heard_in_two_parts_is_as_long_as_its_span():
    parts = [Event("rain", 0.2, 1.0), Event("rain", 1.1, 2.2)]
    assert score(parts, Structure((Request("rain", attributes=("long",)),))).attributes == (1, 1)
    assert score(parts, Structure((Request("rain", attributes=("short",)),))).attributes == (0, 1)


def test_a_second_is_missed_by_so_much():
    asked = Structure((Request("dog", at=2),))
    assert score(events(("dog", 1.75, 2)), asked).onset_error == (0.25, 1)
    assert score(events(("dog", 1.75, 2)), asked).exact == (1, 1)
    assert score(events(("dog", 0.75, 1)), asked).exact == (0, 1)
    assert score(events(("cat", 1.75, 2)), asked).onset_error == (0, 0)
    assert score(events(("dog", 1.75, 2), ("cat", 2, 3)), asked).unasked == (1, 2)


def test_a_summary_adds_clips_up():
    scores = [score(events(BARK, RAIN), THEN), score(events(("horn", 0, 1)), Structure((Request("cat"),)))]
    summary = summarise(scores)
    assert summary["precision"] == summary["recall"] == summary["f1"] == pytest.approx(2 / 3)
    assert summary["order"] == 1.0
    assert summary["count"] == summary["exact"] == 0.0
    assert "overlap" not in summary
    assert summarise([])["f1"] == 0
