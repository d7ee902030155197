"""The judge can learn, its probabilities become the timeline they state, and it survives a checkpoint."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch
from pytorch_lightning import Trainer
from torch.utils.data import DataLoader

from diffsound.data.loading import collate
from diffsound.evaluation import EventTagger, score, timeline
from diffsound.mel import MelSettings
from diffsound.scenes import Structure, World, make_scene
from diffsound.scenes.dataset import SceneDataset
from diffsound.scenes.world import DRAW

MEL = MelSettings()


FULL = World(kinds=dict.fromkeys(DRAW, 1.0), attributes=0.6, rooms=1.0)


def truth(tagger: EventTagger, index: int, world: World):
    scene = make_scene(0, index, world=world)
    targets = tagger.targets([[asdict(event) for event in scene.events]], frames=84)
    return scene, timeline(*(target[0] for target in targets), tagger.classes, tagger.frame_seconds)


@pytest.mark.parametrize("world", [World(), FULL])
def test_a_timeline_survives_the_way_to_targets_and_back(world):
    tagger = EventTagger(MEL, channels=8, blocks=0)
    for index in range(100):
        scene, heard = truth(tagger, index, world)
        assert [event.name for event in heard] == [event.name for event in scene.events]
        assert score(heard, scene.structure).exact == (1, 1)
        for event, true in zip(heard, scene.events, strict=True):
            assert event.onset == pytest.approx(true.onset, abs=tagger.frame_seconds)
            assert all(event.positions[axis] == pytest.approx(value) for axis, value in true.positions.items())


def test_close_repetitions_are_cut_where_they_begin_anew():
    sounds, begins = torch.zeros(1, 40), torch.zeros(1, 40)
    sounds[0, 5:25] = 0.9  # two barks that run into each other
    begins[0, [5, 14]] = 0.8
    manner = torch.arange(40.0).expand(4, 1, 40) / 40
    heard = timeline(sounds, begins, manner, ["dog"], frame_seconds=0.05)
    assert heard[1].positions == pytest.approx(dict.fromkeys(("pitch", "level", "distance"), 19 / 40))
    assert [event.onset for event in heard] == pytest.approx([0.25, 0.7])
    assert [event.offset for event in heard] == pytest.approx([0.7, 1.25])
    assert len(timeline(sounds, begins, manner, ["rain"], frame_seconds=0.05)) == 1  # rain does not repeat


@pytest.mark.filterwarnings("ignore:You defined a `validation_step`")
def test_it_learns_a_few_scenes_by_heart_and_keeps_them_in_a_checkpoint(tmp_path):
    scenes = [SceneDataset(6, num_samples=44100, seed=1)[i] for i in range(6)]
    tagger = EventTagger(MEL, channels=32, blocks=1, mix=0, roughen=0, learning_rate=1e-2, warmup_steps=5,
                         classes=sorted({event["name"] for scene in scenes for event in scene["timeline"]}))
    loader = DataLoader(scenes, batch_size=6, collate_fn=collate)
    trainer = Trainer(max_steps=60, accelerator="cpu", logger=False, enable_checkpointing=False,
                      enable_progress_bar=False, enable_model_summary=False)
    trainer.fit(tagger, loader)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    again = EventTagger.from_checkpoint(tmp_path / "last.ckpt")
    assert again.mel == MEL
    batch = next(iter(loader))
    scores = [score(heard, Structure.from_dict(asked))
              for heard, asked in zip(again.listen(batch["waveform"]), batch["structure"], strict=True)]
    assert sum(one.exact[0] for one in scores) >= 4


def test_mixed_clips_keep_both_timelines():
    tagger = EventTagger(MEL, channels=8, blocks=0, mix=1.0)
    waveform, timelines = tagger._mixed(torch.eye(3), [[{"name": name, "positions": {"level": 0.5}}] for name in "abc"])
    assert [[event["name"] for event in events] for events in timelines] == [["a", "c"], ["b", "a"], ["c", "b"]]
    assert [event["positions"] for event in timelines[0]] == [{"level": 0.5}, {}]  # what is under it is fainter now
    assert ((waveform > 0).sum(1) == 2).all()
    torch.testing.assert_close(waveform.diagonal(), torch.ones(3))


def test_shapes_and_any_length():
    tagger = EventTagger(MEL, classes=["dog", "rain"], channels=8, blocks=1).eval()
    for frames in (16, 161):
        sounds, begins, manner = tagger(torch.rand(2, 80, frames))
        assert sounds.shape == begins.shape == (2, 2, math.ceil(frames / 4))
        assert manner.shape == (2, 4, 2, math.ceil(frames / 4))
    assert tagger.listen(torch.zeros(1, 16000))[0] is not None


def test_an_unknown_class_is_refused_by_name():
    with pytest.raises(ValueError, match=r"tagger.init_args.classes holds \['unicorn'\]"):
        EventTagger(MEL, classes=["dog", "unicorn"])
