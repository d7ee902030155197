"""The table says what was heard: right where it is right, wrong where it is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from diffsound.callbacks import SceneScores
from diffsound.callbacks.scene_scores import ROWS, table
from diffsound.evaluation import EventTagger
from diffsound.mel import MelSettings
from diffsound.scenes import Request, SceneDataModule, Structure, render

ASKED = [Structure((Request("dog"), Request("rain"))), Structure((Request("bell", 2), Request("cat"))),
         Structure((Request("horn"),))]
THREE_BELLS = Structure((Request("bell", 3), Request("cat")))


class Columns:
    """A codec and a vocoder that lose nothing."""

    rows = 1
    device = torch.device("cpu")

    def encode(self, waveform):
        return waveform

    def decode(self, tokens, columns):
        assert columns == tokens.shape[1]
        return tokens


@pytest.fixture
def scores(monkeypatch, tmp_path):
    """`scores(made)`: results when structures `made` were generated, with a judge that knows every waveform."""
    timelines = {}

    def make(structure: Structure, seed: int) -> torch.Tensor:
        scene = render(structure, np.random.default_rng(seed))
        waveform = torch.from_numpy(scene.waveform)
        timelines[waveform.numpy().tobytes()] = list(scene.events)
        return waveform

    class Judge:
        def to(self, device):
            return self

        def listen(self, waveforms):
            return [timelines[waveform.numpy().tobytes()] for waveform in waveforms]

    monkeypatch.setattr(EventTagger, "from_checkpoint", lambda path: Judge())

    def run(made: list[Structure]) -> dict:
        callback = SceneScores("judge.ckpt", str(tmp_path / "score/scores.json"))
        system = SimpleNamespace(codec=Columns(), vocoder=lambda mel: mel, device=torch.device("cpu"))
        scenes = SceneDataModule(MelSettings(), frames=336)
        callback.on_test_start(SimpleNamespace(datamodule=scenes, world_size=1), system)
        for i, (asked, generated) in enumerate(zip(ASKED, made, strict=True)):
            batch = {"waveform": make(asked, i)[None], "structure": [asdict(asked)]}
            callback.on_test_batch_end(None, system, [SimpleNamespace(waveform=make(generated, i + 10))], batch, i)
        callback.on_test_end(None, system)
        return callback.results()

    return run


def test_what_was_asked_for_is_right_and_shuffled_captions_are_not(scores):
    results = scores(ASKED)
    assert list(results) == [*ROWS, "generated, count then", "generated, single", "generated, then"]
    for row in ROWS[:3]:
        assert results[row] == dict.fromkeys(results[row], 1.0) | {"unasked": 0.0}, row
    assert results[ROWS[3]]["f1"] == results[ROWS[3]]["exact"] == 0


def test_a_wrong_order_and_a_wrong_count_show_in_their_columns_alone(scores):
    backwards = [Structure(ASKED[0].events[::-1]), THREE_BELLS, ASKED[2]]
    generated = scores(backwards)["generated"]
    assert generated["f1"] == 1
    assert generated["order"] == 0.5
    assert generated["count"] == 0.75  # of dog, bell, cat and horn
    assert generated["exact"] == pytest.approx(1 / 3)


def test_a_weak_kind_shows_in_its_own_row(scores):
    results = scores([ASKED[0], THREE_BELLS, ASKED[2]])
    assert results["generated, count then"]["count"] == 0.5
    assert results["generated, then"]["exact"] == results["generated, single"]["exact"] == 1


def test_the_table_is_kept(scores, tmp_path):
    results = scores(ASKED)
    assert json.loads((tmp_path / "score/scores.json").read_text()) == {"clips": 3, "scores": results}


def test_several_processes_are_refused():
    trainer = SimpleNamespace(datamodule=SceneDataModule(MelSettings(), frames=336), world_size=2)
    with pytest.raises(ValueError, match="trainer.devices to 1"):
        SceneScores("judge.ckpt", "scores.json").on_test_start(trainer, None)


def test_recordings_have_no_timeline_to_score():
    with pytest.raises(ValueError, match="audio.class_path is NoneType"):
        SceneScores("judge.ckpt", "scores.json").on_test_start(SimpleNamespace(datamodule=None), None)


def test_the_table_has_a_dash_where_nothing_was_asked(scores):
    lines = table(scores(ASKED))
    assert len({len(line) for line in lines}) == 1
    assert "order if heard" in lines[0]
    assert all(line.split()[-3] == "-" for line in lines[1:])  # overlap
