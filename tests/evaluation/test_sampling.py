"""Clips of a small system with random weights, at another sample rate than the judge's."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_system import tiny_system

from diffsound.evaluation import EventTagger
from diffsound.evaluation.sampling import make_clips, read_sweep, seed_of, sweep
from diffsound.evaluation.subjects import Subjects
from diffsound.mel import MelSettings
from diffsound.scenes import SceneDataModule
from diffsound.takes import ByEvents

MEL = MelSettings(sample_rate=16000)


@pytest.fixture(scope="module")
def model():
    return tiny_system(MEL)


@pytest.fixture(scope="module")
def subjects():
    return Subjects.of_data(SceneDataModule(MEL, 64, num_test=6), 6, seed=0)


class Judge(EventTagger):
    """Tells how much it was given to hear."""

    def listen(self, waveform):
        self.given = [*getattr(self, "given", []), tuple(waveform.shape)]
        return super().listen(waveform)


def test_a_sweep_is_heard_at_the_judges_rate(model, subjects):
    judge, own = Judge(MelSettings(), classes=["dog", "rain"], channels=8, blocks=1).eval(), model.sampler
    key, values = read_sweep("num_steps=1,3", model)
    found = sweep(model, key, values, subjects, 4, judge, seed=0)
    assert (found["over"], found["values"]) == ("num_steps", [1, 3])
    assert {name: len(heights) for name, heights in found["scores"].items()} == {"f1": 2, "order": 2, "count": 2}
    samples = round(64 * 256 * 22050 / 16000)
    assert judge.given == [(4, pytest.approx(samples, abs=1))] * 2
    assert model.sampler is own


@pytest.mark.parametrize(("text", "message"), [
    ("speed=1", "StridedSampler has no speed, expected one of"), ("num_steps=9", "num_steps is 9"),
    ("num_steps=", "expected KEY=VALUE,VALUE"),
])
def test_a_setting_that_the_sampler_does_not_take_is_refused(model, text, message):
    with pytest.raises(ValueError, match=message):
        read_sweep(text, model)


def test_clips_keep_their_rate_and_are_made_once(model, subjects, tmp_path, capsys):
    made = make_clips(model, subjects.real, tmp_path, seed=0)
    assert (made.sample_rate, made.texts, set(made.seconds)) == (16000, subjects.real.texts, {64 * 256 / 16000})
    assert "making 6 of 6 clips" in capsys.readouterr().out
    (tmp_path / "0002.wav").unlink()
    again = make_clips(model, subjects.real, tmp_path, seed=0)
    torch.testing.assert_close(torch.stack(again.waveforms), torch.stack(made.waveforms), atol=1e-3, rtol=0)
    assert "making 1 of 6 clips" in capsys.readouterr().out
    make_clips(model, subjects.real, tmp_path, seed=1)
    assert "making 6 of 6 clips" in capsys.readouterr().out


def test_of_several_takes_the_best_is_kept_the_same_for_every_batch(model, subjects, tmp_path, monkeypatch, capsys):
    """By a judge who likes high tokens. The first take is the only one there is without --best-of."""

    def height(clip):
        return float(clip.tokens.sum())

    monkeypatch.setattr(ByEvents, "__call__", lambda self, text, takes: [height(take) for take in takes])
    make_clips(model, subjects.real, tmp_path, seed=0, best_of=3)
    assert "making 6 of 6 clips" in capsys.readouterr().out
    sidecars = [json.loads((tmp_path / f"{name}.json").read_text()) for name in subjects.real.ids]
    seeds = {name: [seed_of(name, 0, take) for take in range(3)] for name in subjects.real.ids}
    assert len({seed for three in seeds.values() for seed in three}) == 18
    for sidecar, three in zip(sidecars, seeds.values(), strict=True):
        assert sidecar["seed"] == max(model([sidecar["text"]] * 3, three), key=height).sidecar["seed"]
    assert len({three.index(sidecar["seed"]) for sidecar, three in zip(sidecars, seeds.values(), strict=True)}) > 1
    assert [sidecar["text"] for sidecar in sidecars] == list(subjects.real.texts)
    assert {sidecar["chosen"]["of"] for sidecar in sidecars} == {3}
    (alone,) = model([sidecars[4]["text"]], [sidecars[4]["seed"]])
    assert alone.sidecar["sha256"] == sidecars[4]["sha256"]
    make_clips(model, subjects.real, tmp_path, seed=0, best_of=3)
    assert "making" not in capsys.readouterr().out
    (tmp_path / "0001.json").write_text(json.dumps(sidecars[1] | {"chosen": sidecars[1]["chosen"] | {"by": "another"}}))
    make_clips(model, subjects.real, tmp_path, seed=0, best_of=3)
    assert "making 1 of 6 clips" in capsys.readouterr().out
    make_clips(model, subjects.real, tmp_path, seed=0)
    assert "making 6 of 6 clips" in capsys.readouterr().out
    assert json.loads((tmp_path / "0000.json").read_text())["seed"] == seeds["0000"][0]
