"""An interval holds what it should as often as it says, and the fast way gives the numbers of the plain one."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import torch

from diffsound.evaluation.estimate import Estimate, bootstrap, bootstrap_mean, bootstrap_summary
from diffsound.evaluation.order import score, summarise
from diffsound.scenes import make_scene


@pytest.fixture(scope="module")
def scores():
    """Of scenes against their own captions and those of others: some right, some wrong, many entries not asked for."""
    made = [make_scene(0, index) for index in range(60)]
    return [score(one.events, made[index if index % 3 else index - 1].structure) for index, one in enumerate(made)]


def test_intervals_of_a_mean_are_those_of_the_normal_distribution():
    x = np.random.default_rng(0).normal(3, 2, size=400)
    found = bootstrap(np.mean, x, repeats=2000)
    assert found.value == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx((x.mean() - 1.96 * 0.1 * x.std() / 2, x.mean() + 0.098 * x.std()),
                                                    abs=0.03)
    assert bootstrap(np.mean, x, level=0.5).high - x.mean() == pytest.approx(0.0674 * x.std() / 2, abs=0.02)


def test_about_95_of_100_intervals_hold_the_truth():
    held = 0
    for seed in range(200):
        x = np.random.default_rng(seed).exponential(1.0, size=80)
        found = bootstrap_mean(x, seed=seed, repeats=400)
        held += found.low <= 1 <= found.high
    assert 180 <= held <= 198


def test_every_kind_of_rows_is_drawn_alike_and_a_seed_repeats():
    x = np.random.default_rng(0).normal(size=(30, 2))
    a, b, c = (bootstrap(lambda rows: float(sum(row[0] for row in rows)), rows, repeats=50)
               for rows in (x, torch.from_numpy(x), list(x)))
    assert a == b == c == bootstrap(lambda rows: float(sum(row[0] for row in rows)), x, repeats=50)
    assert a != bootstrap(lambda rows: float(sum(row[0] for row in rows)), x, repeats=50, seed=1)


def test_draws_without_a_value_are_left_out():
    def share(rows):
        return float(rows[:, 0].sum() / rows[:, 1].sum()) if rows[:, 1].sum() else None

    rows = np.array([[1.0, 1.0]] + [[0.0, 0.0]] * 3)
    assert bootstrap(share, rows, repeats=100) == Estimate(1.0, 1.0, 1.0, 4)
    with pytest.raises(ValueError, match="no value on the 3 clips themselves"):
        bootstrap(share, rows[1:])
    assert bootstrap_mean([1.0, math.nan, 3.0]).clips == 2


def test_a_centred_interval_holds_the_value_of_a_statistic_that_repeats_make_larger():
    def alike(rows):  # the share of clips that are there more than once
        return 1 - len(set(rows.tolist())) / len(rows)

    x = np.arange(50)
    plain, centred = (bootstrap(alike, x, centred=centred) for centred in (False, True))
    assert plain.low > plain.value == 0
    assert centred.low < 0 < centred.high
    assert centred.high - centred.low == pytest.approx(plain.high - plain.low)


def test_all_entries_of_a_summary_at_once(scores):
    found = bootstrap_summary(scores, repeats=800)
    expected = summarise(scores)
    assert {name: one.value for name, one in found.items()} == expected
    assert list(found) == list(expected)
    for name in ("f1", "recall", "order", "exact"):
        slow = bootstrap(lambda rows, name=name: summarise(rows).get(name), scores, repeats=800, seed=5)
        width = slow.high - slow.low
        assert found[name].low == pytest.approx(slow.low, abs=width / 5)
        assert found[name].high == pytest.approx(slow.high, abs=width / 5)
        assert found[name].low < found[name].value < found[name].high
    asked = sum(one.overlap[1] > 0 for one in scores)
    assert 0 < found["overlap"].clips == asked < found["f1"].clips == len(scores)
    start = time.perf_counter()
    bootstrap_summary(scores * 16, repeats=1000)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(("compute", "message"), [
    (lambda: bootstrap(np.mean, []), "at least 1 clip"), (lambda: bootstrap_summary([]), "at least 1 clip"),
    (lambda: bootstrap(np.mean, np.ones(3), repeats=0), "repeats is 0"),
    (lambda: bootstrap(np.mean, np.ones(3), level=95), "level is 95"),
    (lambda: bootstrap_mean([math.nan]), "none of 1 clips has a value"),
])
def test_what_has_no_interval_is_refused(compute, message):
    with pytest.raises(ValueError, match=message):
        compute()
