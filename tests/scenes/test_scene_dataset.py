"""The data module serves the scenes of its list, in order where order matters, and never shares any across splits."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from diffsound.mel import MelSettings
from diffsound.scenes import Request, SceneDataModule, SceneDataset, Structure, World, make_scene
from diffsound.scenes.world import DRAW, combinations, is_held_out


def module(num_workers: int = 0) -> SceneDataModule:
    return SceneDataModule(MelSettings(), frames=160, num_train=10, num_val=5, num_test=3, batch_size=4,
                           num_workers=num_workers, seed=7)


def test_an_item_is_the_scene_of_its_index():
    item = SceneDataset(5, num_samples=44100, seed=7)[3]
    scene = make_scene(7, 3, 44100, part="seen")
    assert torch.equal(item["waveform"], torch.from_numpy(scene.waveform))
    assert (item["id"], item["text"]) == ("scene-7-3", scene.caption)
    assert item["text"] in item["captions"]
    assert set(item["labels"]) == set(scene.structure.names)
    assert Structure.from_dict(item["structure"]) == scene.structure
    assert json.loads(json.dumps(item["timeline"]))[0] == asdict(scene.events[0])


def test_train_val_and_test_share_no_scene():
    data = module()
    train = {waveform.numpy().tobytes() for batch in data.train_dataloader() for waveform in batch["waveform"]}
    val = {waveform.numpy().tobytes() for batch in data.val_dataloader() for waveform in batch["waveform"]}
    assert len(train) == 10
    test = {waveform.numpy().tobytes() for batch in data.test_dataloader() for waveform in batch["waveform"]}
    assert (len(val), len(test)) == (5, 3)
    assert len(train | val | test) == 18


def test_training_order_is_shuffled():
    data = SceneDataModule(MelSettings(), frames=64, num_train=20, num_val=1, batch_size=20, num_workers=0)
    loader = data.train_dataloader()
    first = next(iter(loader))["id"]
    loader.sampler.set_epoch(1)
    second = next(iter(loader))["id"]
    assert first != second
    assert set(first) == set(second) == {f"scene-0-{i}" for i in range(20)}
    assert first != sorted(first)


def test_an_index_out_of_range_ends_the_list():
    with pytest.raises(IndexError):
        SceneDataset(5)[5]
    assert len(list(iter(SceneDataset(3, num_samples=22050)))) == 3


def test_scenes_kept_in_memory_are_the_same_and_made_once(monkeypatch):
    made = []
    kept = SceneDataModule(MelSettings(), frames=160, num_train=10, batch_size=5, seed=7, in_memory=True)
    monkeypatch.setattr(kept.train, "make", lambda *args: made.append(args[1]) or make_scene(*args))
    loader = kept.train_dataloader()
    for _ in range(2):
        waves = {name: wave for batch in loader for name, wave in zip(batch["id"], batch["waveform"], strict=True)}
        assert all(torch.equal(waves[f"scene-7-{i}"],
                               torch.from_numpy(make_scene(7, i, 160 * 256, part="seen").waveform))
                   for i in range(10))
    assert sorted(made) == list(range(10))


def test_a_world_without_combinations_says_so_instead_of_drawing_for_ever():
    single = World(kinds={"single": 1})
    assert make_scene(0, 0, world=single, part="seen").structure.kind == "single"
    with pytest.raises(ValueError, match="none is held out: add other kinds to world.kinds"):
        make_scene(0, 1, world=single, part="held out")


def test_training_shows_no_held_out_combination_and_every_second_other_scene_does():
    data = SceneDataModule(MelSettings(), frames=336, num_train=300, num_val=40, num_test=40,
                           world=World(attributes=0.5))
    shown = {one for i in range(300) for one in combinations(Structure.from_dict(data.train[i]["structure"]))}
    for other in (data.val, data.test):
        for i in range(40):
            item = other[i]
            new = is_held_out(Structure.from_dict(item["structure"]))
            assert new == (item["combination"] == "held out") == (i % 2 == 1)
            if new:
                assert set(combinations(Structure.from_dict(item["structure"]))) - shown


def test_a_judge_can_be_shown_everything():
    data = SceneDataModule(MelSettings(), frames=336, num_train=60, num_val=20, num_test=20, hold_out=False)
    parts = [(item["combination"], is_held_out(Structure.from_dict(item["structure"]))) for item in map(
        data.train.__getitem__, range(60))]
    assert {part for part, _ in parts} == {"seen", "held out"}
    assert all((part == "held out") == new for part, new in parts)
    assert [data.val[i]["combination"] for i in range(4)] == ["seen", "held out"] * 2


def test_what_is_held_out_by_itself_is_in_no_scene_to_train_on():
    """At any distance: a sound before another, over another, so often, so described."""
    world = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6)
    shown = 0
    for seed in range(1500):
        structure = world.draw(np.random.default_rng([3, seed]), "seen")
        alone = [Structure((Request(a.name), Request(b.name))) for a, b in itertools.combinations(structure.events, 2)]
        for request in structure.requests:
            alone += [Structure((Request(request.name, request.count, (word,)),)) for word in request.attributes]
            alone += [Structure((Request(request.name, request.count),))]
        alone += [Structure((Request(event.name),), Request(structure.background.name)) for event in structure.events
                  if structure.background is not None]
        shown += len(alone)
        assert not any(is_held_out(one) for one in alone), structure
    assert shown > 3000
