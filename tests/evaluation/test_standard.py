"""Standard scores agree with another implementation, rise as sounds get worse, and are left out by name."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from listeners import EXTRACTORS, scenes
from torch import nn

from diffsound.evaluation import frechet_distance, inception_score, kernel_distance, kl_divergence
from diffsound.evaluation.clips import ClipSet
from diffsound.evaluation.metrics import cosine_similarities, kl_divergences, whole_kernel_distance
from diffsound.evaluation.standard import (
    HeardSet,
    clap_score,
    describe,
    frechet_estimate,
    hear,
    inception_estimate,
    kernel_estimate,
    standard_scores,
)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    return EXTRACTORS["tagger"](tmp_path_factory.mktemp("tagger"))


@pytest.fixture(scope="module")
def reference() -> ClipSet:
    return scenes(24, start=100, name="reference", seconds=1.5)


def heard(rows: int, seed: int = 0, shift: float = 0.0, **changes) -> HeardSet:
    generator = torch.Generator().manual_seed(seed)
    features, logits = (torch.randn(rows, width, generator=generator) + shift for width in (6, 4))
    ids = tuple(str(row) for row in range(rows))
    return replace(HeardSet(f"set {seed}", "tiny", ids, features, 3 * logits, None, features.repeat_interleave(2, 0),
                            torch.arange(rows).repeat_interleave(2)), **changes)


class Itself(nn.Module):
    num_features = 6

    def forward(self, x):
        return x


def test_agrees_with_torchmetrics():
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.inception import InceptionScore
    from torchmetrics.image.kid import KernelInceptionDistance

    made, real = heard(60).features, heard(60, seed=1, shift=0.4).features
    fid = FrechetInceptionDistance(Itself())
    kid = KernelInceptionDistance(Itself(), subsets=1, subset_size=60)
    for metric in (fid, kid):
        metric.update(real, real=True)
        metric.update(made, real=False)
    assert frechet_distance(made, real) == pytest.approx(fid.compute().item(), rel=1e-3)
    assert whole_kernel_distance(made, real) == pytest.approx(kid.compute()[0].item(), rel=1e-4)
    isc = InceptionScore(Itself(), splits=1)
    isc.update(made)
    assert inception_score(made, splits=1)[0] == pytest.approx(isc.compute()[0].item(), rel=1e-5)


def test_the_kernel_distance_of_all_is_that_of_one_whole_subset():
    made, real = heard(40).features, heard(40, seed=1).features
    assert whole_kernel_distance(made, real) == pytest.approx(kernel_distance(made, real, 1, 40)[0], rel=1e-9)


def test_both_directions_of_kl_by_hand():
    made, real = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])  # 1/4, 3/4 and 1/2, 1/2
    assert kl_divergence(made, real, 0) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert kl_divergence(made, real, 0, reverse=True) == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    made, real = torch.randn(6, 5), torch.randn(3, 5)
    for reverse in (False, True):
        rows = kl_divergences(made, real, reverse=reverse)
        assert len(rows) == 6
        assert kl_divergence(made, real, reverse=reverse) == pytest.approx(rows.mean().item())
    assert kl_divergence(made[:3], real, 0, reverse=True) == pytest.approx(kl_divergence(real, made[:3], 0))


def test_the_clap_score_is_a_mean_of_cosines():
    audio = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]])
    text = torch.tensor([[2.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
    assert cosine_similarities(audio, text).tolist() == pytest.approx([1, -1, 0])
    found = clap_score(audio, text)
    assert found.value == pytest.approx(0)
    assert -1 <= found.low < 0 < found.high <= 1
    with pytest.raises(ValueError, match="3 rows beside 2"):
        clap_score(audio, text[:2])


def test_values_are_those_of_the_metrics_and_lie_in_their_intervals():
    made, real = heard(40), heard(40, seed=1, shift=0.5)
    scores = standard_scores(made, real, splits=2, repeats=100, frechet_repeats=50)
    assert list(scores) == ["fad_tiny", "fd_tiny", "kid_tiny", "kl_tiny", "kl_reverse_tiny", "inception_tiny"]
    assert scores["fd_tiny"].value == frechet_distance(made.features, real.features)
    assert scores["fad_tiny"].value == frechet_distance(made.windows, real.windows)
    assert scores["kl_tiny"].value == pytest.approx(kl_divergence(made.logits, real.logits))
    assert scores["inception_tiny"].value == inception_score(made.logits, 2)[0]
    for one in scores.values():
        assert one.low < one.value < one.high
        assert one.clips == 40


def test_draws_are_those_of_clips_drawn_in_full(monkeypatch):
    """The weighted formulas of the bootstrap, beside the metrics on clips that are really repeated."""
    from diffsound.evaluation import standard

    made, real = heard(20).features, heard(30, seed=1).features
    drawn = [made.repeat_interleave(torch.tensor(row, dtype=torch.long), 0)
             for row in standard.draw_counts(20, 8, seed=3)]
    monkeypatch.setattr(standard, "interval", lambda value, draws, *rest, **more: list(draws))
    found = frechet_estimate(made, real, repeats=8, seed=3)
    assert found == pytest.approx([frechet_distance(one, real) for one in drawn], rel=1e-6)
    found = kernel_estimate(made, real, repeats=8, seed=3)
    assert found == pytest.approx([whole_kernel_distance(one, real) for one in drawn], rel=1e-6)


def test_windows_of_a_clip_are_drawn_together():
    x, y = heard(30).features, heard(30, seed=1).features
    alone = frechet_estimate(x, y, repeats=60)
    apart = frechet_estimate(x.repeat_interleave(4, 0), y, repeats=60)
    together = frechet_estimate(x.repeat_interleave(4, 0), y, torch.arange(30).repeat_interleave(4), repeats=60)
    assert together.clips == 30
    assert together.high - together.low == pytest.approx(alone.high - alone.low, rel=0.2)
    assert apart.high - apart.low < 0.75 * (together.high - together.low)


def test_pairs_are_found_whatever_the_order():
    made, real = heard(30), heard(30, seed=1)
    order = torch.randperm(30)
    ids = tuple(real.ids[row] for row in order)
    other = replace(real, ids=ids, features=real.features[order], logits=real.logits[order])
    one, two = (standard_scores(made, each, repeats=5, frechet_repeats=2, splits=2) for each in (real, other))
    for name in ("kl_tiny", "kl_reverse_tiny", "fd_tiny", "kid_tiny"):
        assert one[name].value == pytest.approx(two[name].value, rel=1e-9)


def test_what_cannot_be_scored_is_left_out_by_name():
    skipped: list[dict] = []
    ids = tuple("abcde")
    few = replace(heard(5, seed=2), ids=ids, logits=None, windows=None, owner=None)
    scores = standard_scores(few, heard(40), splits=10, repeats=5, frechet_repeats=2, skipped=skipped)
    assert list(scores) == ["kid_tiny"]
    why = {one["name"]: one["why"] for one in skipped}
    assert "at least 7" in why["FD (tiny)"]
    assert "windows were not heard" in why["FAD (tiny)"]
    assert "features but no classes" in why["KL(reference || made) (tiny)"]
    assert all(one["clips"] == 5 for one in skipped)
    skipped.clear()
    standard_scores(replace(heard(20), ids=tuple(f"x{i}" for i in range(20))), heard(20, seed=1), repeats=5,
                    frechet_repeats=2, splits=30, skipped=skipped)
    why = {one["name"]: one["why"] for one in skipped}
    assert "no partner" in why["KL(made || reference) (tiny)"]
    assert "cannot be dealt to 30 splits" in why["inception score (tiny)"]


def test_every_score_is_described():
    for name in standard_scores(heard(20), heard(20, seed=1), repeats=2, frechet_repeats=2, splits=2):
        assert describe(name)["group"] == "distances"
    assert describe("kl_reverse_my_net") == {"label": "KL(made || reference) (my_net)", "group": "distances",
                                             "better": "lower", "unit": "nats"}
    assert describe("inception_ast")["better"] == "higher"
    with pytest.raises(ValueError, match="'mos_ast' is no standard score"):
        describe("mos_ast")


def test_scenes_are_nearer_to_scenes_than_noise_and_silence(extractor, reference):
    """The whole way, from sounds to scores: with random weights, but on real features."""
    true = scenes(24, seconds=1.5)
    real = hear(reference, extractor)
    noise = [torch.randn(len(one)) * 0.1 for one in true.waveforms]
    silence = [torch.zeros(len(one)) for one in true.waveforms]
    rows = {"true": true, "noise": replace(true, waveforms=noise), "silence": replace(true, waveforms=silence)}
    scores = {row: standard_scores(hear(clips, extractor), real, splits=2, repeats=20, frechet_repeats=10)
              for row, clips in rows.items()}
    for name in ("fd_tagger", "fad_tagger", "kid_tagger"):
        assert scores["true"][name].value < scores["noise"][name].value
        assert scores["true"][name].value < scores["silence"][name].value
    assert scores["silence"]["inception_tagger"].value == pytest.approx(1, abs=1e-6)
    direct = standard_scores(true, reference, extractor, splits=2, repeats=20, frechet_repeats=10)
    assert direct == scores["true"]


def test_sets_heard_by_different_extractors_are_refused(reference):
    with pytest.raises(ValueError, match="expected the same extractor"):
        standard_scores(heard(9), replace(heard(9), extractor="other"))
    with pytest.raises(ValueError, match="clips without an extractor"):
        standard_scores(reference, reference)


def test_an_interval_of_the_inception_score_narrows_with_clips():
    few, many = (inception_estimate(heard(rows).logits, 2, 100) for rows in (30, 480))
    assert many.high - many.low < 0.5 * (few.high - few.low)
