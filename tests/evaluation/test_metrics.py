"""Metrics are zero or one where they must be, equal closed forms, and do not see the order of clips."""

from __future__ import annotations

import math

import pytest
import torch

from diffsound.evaluation import frechet_distance, inception_score, kernel_distance, kl_divergence


def gaussian(mean, covariance, rows: int = 64) -> torch.Tensor:
    """Rows whose mean and unbiased covariance are exactly these."""
    mean, covariance = torch.tensor(mean).double(), torch.tensor(covariance).double()
    x = torch.randn(rows, len(mean), dtype=torch.float64)
    x = torch.linalg.qr(x - x.mean(0)).Q * math.sqrt(rows - 1)
    return x @ torch.linalg.cholesky(covariance).T + mean


def shuffled(x: torch.Tensor) -> torch.Tensor:
    return x[torch.randperm(len(x))]


def test_frechet_distance_of_a_set_to_itself_is_zero():
    for rows in (200, 5):  # also with fewer rows than columns
        x = torch.randn(rows, 16)
        assert frechet_distance(x, shuffled(x)) == pytest.approx(0, abs=1e-10)


def test_frechet_distance_of_two_gaussians():
    a, b = [[2.0, 0.6], [0.6, 1.0]], [[1.0, -0.4], [-0.4, 3.0]]
    product = torch.tensor(a).double() @ torch.tensor(b).double()
    root_trace = math.sqrt(product.trace() + 2 * math.sqrt(torch.linalg.det(product)))  # of a 2 x 2 matrix
    expected = 3**2 + 4**2 + (2 + 1) + (1 + 3) - 2 * root_trace
    made, real = gaussian([1.0, 0.0], a), gaussian([-2.0, 4.0], b, rows=50)
    assert frechet_distance(made, real) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(shuffled(real), shuffled(made)) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_zero_on_average_for_sets_drawn_alike_and_grows_with_distance():
    x, y = torch.randn(2, 400, 8)
    mean, deviation = kernel_distance(x, y, subsets=50, subset_size=100)
    assert abs(mean) < deviation / 2
    near, far = (kernel_distance(x, y + shift, subsets=5, subset_size=100)[0] for shift in (0.5, 1.0))
    assert 0 < 10 * abs(mean) < near < far


def test_kernel_distance_of_one_dimension_by_hand():
    """Kernel (x y + 1)^3. made 0, 1; real 0, 2: within 1 and 1, between (1 + 1 + 1 + 27) / 4."""
    made, real = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    assert kernel_distance(made, real, subsets=3, subset_size=2) == pytest.approx((1 + 1 - 2 * 30 / 4, 0))


def test_kernel_distance_of_whole_sets_does_not_depend_on_order():
    x, y = torch.randn(2, 50, 8)
    a, b = (kernel_distance(each, y, subsets=1, subset_size=50)[0] for each in (x, shuffled(x)))
    assert a == pytest.approx(b, rel=1e-12)


def test_inception_score_is_one_for_clips_alike_and_the_number_of_classes_for_each_its_own():
    assert inception_score(torch.randn(1, 5).expand(40, 5)) == pytest.approx((1, 0))
    clear = 100 * torch.eye(5).repeat(8, 1)
    assert inception_score(clear, splits=8, seed=None) == pytest.approx((5, 0))
    assert inception_score(clear, splits=8)[0] < 5  # dealt at random, no part has every class
    # so sure that p is exactly 0 or 1, with three classes that never come
    assert inception_score(1e4 * torch.eye(5)[[0, 1] * 10], splits=1) == pytest.approx((2, 0))
    logits = torch.randn(40, 5)
    assert inception_score(shuffled(logits), splits=1) == pytest.approx(inception_score(logits, splits=1))


def test_kl_divergence_is_of_pairs_and_real_first():
    made, real = torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]])
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert kl_divergence(made, real) == pytest.approx(expected, rel=1e-4)
    assert kl_divergence(made, real, epsilon=0) == pytest.approx(expected, rel=1e-7)
    made, real = torch.randn(12, 5), torch.randn(4, 5)
    order = torch.tensor([2, 0, 3, 1])
    together = made.unflatten(0, (4, 3))[order].flatten(0, 1)
    assert kl_divergence(together, real[order]) == pytest.approx(kl_divergence(made, real))
    assert kl_divergence(real.repeat_interleave(3, 0), real, epsilon=0) == pytest.approx(0, abs=1e-12)


def test_classes_never_heard_cost_a_finite_amount():
    made, real = torch.tensor([[0.0, 1e4]]), torch.tensor([[1e4, 0.0]])
    assert kl_divergence(made, real) == pytest.approx(-math.log(1e-6))
    assert kl_divergence(made, real, epsilon=0) == pytest.approx(1e4)
    assert kl_divergence(made, made, epsilon=0) == 0


@pytest.mark.parametrize(("compute", "message"), [
    (lambda: frechet_distance(torch.ones(1, 3), torch.ones(9, 3)), "1 clips made .* needs at least 2"),
    (lambda: frechet_distance(torch.ones(9, 3), torch.ones(9, 4)), "same width"),
    (lambda: kernel_distance(torch.ones(9, 3), torch.ones(5, 3), subset_size=6), "expected 2 to 5"),
    (lambda: kl_divergence(torch.ones(9, 3), torch.ones(2, 3)), "9 clips made for 2 real ones"),
    (lambda: kl_divergence(torch.ones(9, 3), torch.ones(0, 3)), "real has shape .* expected rows"),
    (lambda: kl_divergence(torch.ones(3), torch.ones(3, 3)), "made has shape .* expected rows"),
    (lambda: kl_divergence(torch.ones(3, 3), torch.ones(3, 3), epsilon=-1), "epsilon is -1"),
    (lambda: kl_divergence(torch.ones(3, 3), torch.ones(3, 3) * torch.nan), "real has numbers that are not finite"),
    (lambda: frechet_distance(torch.ones(3, 3) * torch.inf, torch.ones(3, 3)), "made has numbers that are not finite"),
    (lambda: kernel_distance(torch.ones(3, 3), torch.ones(3, 3) * torch.nan, 1, 2), "real has numbers that are not"),
    (lambda: kernel_distance(torch.ones(9, 3), torch.ones(9, 3), subsets=0, subset_size=2), "subsets is 0"),
    (lambda: inception_score(torch.ones(9)), "logits has shape"),
    (lambda: inception_score(torch.ones(9, 3) * torch.nan, splits=1), "logits has numbers that are not finite"),
    (lambda: inception_score(torch.ones(9, 3)), "9 clips cannot be dealt to 10 splits"),
])
def test_sets_that_cannot_be_compared_are_named(compute, message):
    with pytest.raises(ValueError, match=message):
        compute()


@pytest.mark.golden
def test_published_numbers(golden):
    tensors, settings = golden("l_metrics")
    expected, kid = settings["results"], settings["kid_cfg"]
    assert (kid["degree"], kid["coef0"]) == (3, 1)
    logits, features = tensors["logits_pred"], (tensors["features_pred"], tensors["features_true"])
    assert len(logits) == settings["samples_per_clip"] * len(tensors["logits_true"])
    mine = {
        "kl": kl_divergence(logits, tensors["logits_true"]),
        "isc_shuffled": inception_score(logits, settings["isc_splits"]),
        "isc_single_split_unshuffled": inception_score(logits, 1, seed=None),
        "fid": frechet_distance(*features),
        "kid": kernel_distance(*features, kid["subsets"], kid["subset_size"], kid["rng_seed"]),
    }
    for name, value in mine.items():
        found = value if isinstance(value, tuple) else (value,)
        assert found == pytest.approx(tuple(expected[name].values()), rel=1e-5, abs=1e-6), name
