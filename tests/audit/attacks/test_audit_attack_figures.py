"""Figures of attacks: known answers, and intervals that cover what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedrec.audit.attacks.figures import auc, auc_interval, mean_interval, two_way_interval, wilson


def test_auc_by_hand() -> None:
    scores, labels = np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False])
    assert auc(scores, labels) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert auc(-scores, labels) == pytest.approx(0.125)
    assert auc(np.zeros(4), labels) == 0.5
    assert math.isnan(auc(scores, np.ones(4, bool)))


def test_wilson_by_hand() -> None:
    """Wilson's interval for 8 of 10 is 0.490 to 0.943; for 0 of 10 it begins at 0 and ends at 0.278."""
    found = wilson(8, 10)
    assert (found.value, round(found.low, 3), round(found.high, 3)) == (0.8, 0.490, 0.943)
    none = wilson(0, 10)
    assert none.low == pytest.approx(0, abs=1e-12)
    assert none.high == pytest.approx(0.278, abs=5e-4)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        found = mean_interval(rng.normal(0.5, 0.2, 60), rng)
        covered += found.low <= 0.5 <= found.high
    assert 0.88 <= covered / 200 <= 0.99


def test_the_pooled_auc_is_resampled_by_victims() -> None:
    """Ten copies of the same trial say no more than one: the interval must not shrink with them."""
    rng = np.random.default_rng(1)
    labels = np.arange(100) % 2 == 0
    scores = rng.normal(size=100) + 0.5 * labels
    once = auc_interval(scores, labels, np.random.default_rng(2))
    often = auc_interval(np.tile(scores, (10, 1)), np.tile(labels, (10, 1)), np.random.default_rng(2))
    assert often.value == pytest.approx(once.value)
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.05)
    assert once.low < once.value < once.high


def test_a_mean_over_nobody_is_no_figure() -> None:
    assert math.isnan(mean_interval([math.nan], np.random.default_rng(0)).value)


def test_what_victims_share_is_in_the_interval() -> None:
    """Ten sums, each with luck of its own that all of its victims share: only the two-way interval covers."""
    rng = np.random.default_rng(3)
    covered = {"two ways": 0, "victims": 0}
    for _ in range(200):
        values = 0.5 + rng.normal(0, 0.05, (10, 1)) + rng.normal(0, 0.03, 50) + rng.normal(0, 0.2, (10, 50))
        for name, found in (
            ("two ways", two_way_interval(values, rng)),
            ("victims", mean_interval(values.mean(0), rng)),
        ):
            covered[name] += found.low <= 0.5 <= found.high
    assert 0.9 <= covered["two ways"] / 200 <= 0.995
    assert covered["victims"] / 200 < 0.85


def test_victims_without_a_figure_are_left_out_and_one_sum_is_refused() -> None:
    rng = np.random.default_rng(4)
    values = rng.random((5, 6))
    values[:, 2], values[1, 3] = math.nan, math.nan
    found = two_way_interval(values, rng)
    assert found.value == pytest.approx(np.nanmean(values))
    assert found.low < found.value < found.high
    assert math.isnan(two_way_interval(np.full((2, 2), math.nan), rng).value)
    with pytest.raises(ValueError, match="2 looks"):
        two_way_interval(values[:1], rng)


def test_the_pooled_auc_may_be_resampled_by_trials_as_well() -> None:
    """Every trial has an offset of its own for positives: it widens the interval only where trials are drawn."""
    rng = np.random.default_rng(5)
    labels = np.stack([rng.permutation(400) < 200 for _ in range(8)])
    scores = rng.normal(size=(8, 400)) + rng.normal(0, 0.5, (8, 1)) * labels
    once, often = (auc_interval(scores, labels, rng, both=both) for both in (False, True))
    assert often.value == once.value
    assert often.high - often.low > 2 * (once.high - once.low)
