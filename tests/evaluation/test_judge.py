"""The judge in the package hears true scenes, hears nothing in silence, and is refused when it is damaged."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffsound.checkpoint import fingerprint
from diffsound.evaluation import judge as module
from diffsound.evaluation import load_judge, summarise
from diffsound.evaluation.judge import FULL, PLAIN, WEIGHTS, hear, write_judge
from diffsound.scenes import SOUNDS


@pytest.fixture(scope="module")
def judge():
    return load_judge()


def test_true_scenes_are_heard(judge):
    scores, structures, parts = hear(judge, PLAIN, 60, 86016)
    summary = summarise(scores)
    assert len(structures) == 60
    assert parts.count("held out") == 30
    for name, least in (("f1", 0.97), ("order", 0.97), ("count", 0.95)):  # the ceilings of the card
        assert summary[name] >= least, name


def test_attributes_are_heard_in_held_out_combinations_too(judge):
    scores, _, parts = hear(judge, FULL, 120, 86016)
    for part in ("seen", "held out"):
        summary = summarise(score for score, of in zip(scores, parts, strict=True) if of == part)
        assert summary["attributes"] >= 0.78, part  # .89 of both in the card


def test_silence_and_noise_have_no_events(judge):
    assert judge.listen(torch.zeros(1, 86016)) == [[]]
    assert len(judge.listen(0.1 * torch.randn(8, 86016))) == 8
    assert sum(map(len, judge.listen(0.001 * torch.randn(8, 86016)))) <= 2


def test_a_clip_is_heard_alike_in_any_batch(judge):
    waveforms = 0.05 * torch.randn(3, 44100).cumsum(1).clamp(-1, 1)
    assert judge.listen(waveforms)[1] == judge.listen(waveforms[1:2])[0]


def test_it_knows_every_sound_and_is_ready_to_listen(judge):
    assert judge.classes == list(SOUNDS)
    assert not judge.training
    assert not any(parameter.requires_grad for parameter in judge.parameters())


def test_what_is_written_is_read_back_and_a_changed_weight_is_refused(judge, tmp_path, monkeypatch):
    write_judge(judge, tmp_path / "judge", "a card")
    monkeypatch.setattr(module, "FOLDER", tmp_path / "judge")
    assert fingerprint(load_judge()) == fingerprint(judge)
    weights = load_file(tmp_path / "judge" / WEIGHTS)
    weights["head.bias"] += 1
    save_file(weights, tmp_path / "judge" / WEIGHTS)
    with pytest.raises(ValueError, match="damaged or mixed"):
        load_judge()
    shutil.rmtree(tmp_path / "judge")
    with pytest.raises(FileNotFoundError, match="install the package again"):
        load_judge()
