"""Checks pass on scenes, fail on what is broken, all run, and the protocol says what was compared."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from listeners import EXTRACTORS, scenes

from diffsound.evaluation.checks import (
    FailedChecks,
    check_clips,
    check_scores,
    clipped_clips,
    copied_clips,
    require_passed,
    silent_clips,
)
from diffsound.evaluation.protocol import markdown, protocol, write_markdown
from diffsound.evaluation.standard import hear


@pytest.fixture(scope="module")
def sets():
    return scenes(20, seconds=1.5), scenes(20, start=100, name="reference", seconds=1.5)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    return EXTRACTORS["tagger"](tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def heard(sets, extractor):
    return [hear(clips, extractor) for clips in sets]


def result(checks, name):
    return next(check for check in checks if check.name.startswith(name))


def test_true_scenes_pass_everything(sets, heard, extractor):
    checks = [*check_clips(*sets), *check_scores(*heard, sets[0], extractor)]
    assert all(check.passed for check in checks), [check for check in checks if not check.passed]
    assert len({check.name for check in checks}) == len(checks) == 10
    require_passed(checks)


@pytest.mark.parametrize("size", [1e-3, 1, 300])
def test_a_set_beside_itself_passes_however_large_its_features_are(heard, size):
    torch.manual_seed(0)
    large = replace(heard[0], features=size * torch.randn(20, 512), logits=None, windows=None)
    require_passed(check_scores(large, large))


def test_silence_clipping_and_copies_are_flagged_by_id(sets):
    made, reference = sets
    noise = (torch.randn(33075) * 2).clamp(-1, 1)
    waveforms = (torch.zeros(33075), noise, made.waveforms[5], *made.waveforms[3:])
    broken = replace(made, waveforms=waveforms)
    assert (silent_clips(broken), clipped_clips(broken), copied_clips(broken)) == (["000"], ["001"], ["005"])
    checks = check_clips(broken, reference)
    for name, clip in (("silent clips", "000"), ("clipped clips", "001"), ("copies", "005")):
        check = result(checks, name)
        assert not check.passed
        assert "1 of 20 made, 0 of 20 in the reference" in check.detail
        assert clip in check.detail
    require_passed(checks)  # warnings
    assert result(check_clips(broken, replace(broken, name="reference")), "silent clips").passed  # the reference is so


def test_a_set_of_silence_is_no_result(sets):
    silent = replace(sets[0], waveforms=tuple(torch.zeros(33075) for _ in range(20)))
    with pytest.raises(FailedChecks, match="1 checks .* something is heard: 20 of 20 clips are silent"):
        require_passed(check_clips(silent, sets[1]))


def test_another_reference_is_noticed(sets):
    made, reference = sets
    assert result(check_clips(made, reference, reference.fingerprint), "reference").passed
    assert result(check_clips(made, reference, reference.fingerprint[:16]), "reference").passed
    for wrong in (made.fingerprint, ""):
        assert not result(check_clips(made, reference, wrong), "reference").passed


def test_a_judge_that_hears_the_batch_or_nothing_is_found(sets, heard, extractor):
    def by_place(waveforms, sample_rate):
        found = extractor(waveforms, sample_rate)
        return found._replace(features=found.features + torch.arange(len(waveforms))[:, None])

    checks = check_scores(*heard, sets[0], by_place)
    assert not result(checks, "order of hearing").passed
    broken = replace(heard[0], features=heard[0].features * torch.nan)
    checks = check_scores(broken, heard[1])
    failed = [check.name for check in checks if not check.passed]
    assert failed == ["finite features (tagger)", "order of clips (tagger)"]
    with pytest.raises(FailedChecks, match="2 checks .*finite features .*: not finite: made features; order of clips"):
        require_passed(checks)


def test_a_distance_that_is_not_zero_to_itself_is_found(heard, monkeypatch):
    from diffsound.evaluation import checks

    monkeypatch.setattr(checks, "frechet_distance", lambda x, y: 0.01 + x.mean().item() ** 2)
    assert not result(check_scores(*heard), "same set against itself").passed
    monkeypatch.undo()
    monkeypatch.setattr(checks, "whole_kernel_distance", lambda x, y: (x[0] * y[1]).sum().item())
    failed = [check.name for check in check_scores(*heard) if not check.passed]
    assert failed == ["same set against itself (tagger)", "order of clips (tagger)"]


def test_too_few_clips_are_a_warning_with_the_number_needed(sets, extractor):
    few = [hear(clips.take(range(10)), extractor) for clips in sets]
    check = result(check_scores(*few), "enough clips")
    assert not check.passed
    assert not check.fatal
    assert "16 features need 17 of each" in check.detail


def test_the_protocol_tells_what_was_compared(sets, extractor, tmp_path):
    made, reference = sets
    card = protocol(made, reference, [extractor], seed=3, repeats=1000, split="test",
                    combinations=["seen"] * 12 + ["held out"] * 8, splits=10)
    assert json.loads(json.dumps(card)) == card
    assert card["reference_hash"] == reference.fingerprint != card["made_hash"]
    assert card["extractors"] == {"tagger": {"hash": extractor.fingerprint, "sample_rate": 22050}}
    assert (card["made"]["clips"], card["made"]["seconds"]["longest"]) == (20, 1.5)
    assert card["versions"]["torch"] == torch.__version__
    write_markdown(card, tmp_path / "protocol.md")
    text = (tmp_path / "protocol.md").read_text()
    assert text == markdown(card)
    for part in (reference.fingerprint, made.fingerprint, extractor.fingerprint, "| 20 | 1.5 | 22050 Hz |", "seed 3",
                 "the test split", "8 held out, 12 seen", "95% of 1000 bootstrap draws",
                 f"torch {torch.__version__}", "splits: 10"):
        assert part in text
    text = markdown(protocol(made, reference, [extractor], seed=3, repeats=1000))
    assert "of no named split" in text
    assert "Combinations" not in text
