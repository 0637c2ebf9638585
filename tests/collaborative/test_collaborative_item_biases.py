"""Biases of items by empirical Bayes: nearer to the truth than the raw means and than nothing, at any noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.collaborative.item_biases import item_biases

ITEMS = 800
SPREAD, SINGLE = 0.15, 0.4


def world(seed: int, noise: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """True biases, and noisy sums of items of which few are rated often."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, SPREAD, ITEMS)
    raters = (300 / (1 + np.arange(ITEMS))).astype(int) + 1
    weight = 0.1
    counts = weight * raters
    deviations = counts * truth + weight * SINGLE * np.sqrt(raters) * rng.normal(size=ITEMS)
    return truth, deviations + noise * rng.normal(size=ITEMS), counts + noise * rng.normal(size=ITEMS)


def error(found: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((found - truth) ** 2)))


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.5])
def test_it_is_nearer_to_the_truth_than_raw_means_and_than_nothing(noise: float) -> None:
    for seed in range(5):
        truth, deviations, counts = world(seed, noise)
        found = item_biases(deviations, counts, noise)
        raw = np.clip(deviations / np.maximum(counts, 0.1), -1, 1)
        assert error(found, truth) < error(raw, truth)
        assert error(found, truth) < error(np.zeros(ITEMS), truth)


def test_noise_alone_says_next_to_nothing() -> None:
    rng = np.random.default_rng(3)
    noise = 2.0
    found = [item_biases(noise * rng.normal(size=ITEMS), noise * rng.normal(size=ITEMS), noise) for _ in range(20)]
    assert error(np.concatenate(found), np.zeros(20 * ITEMS)) < 0.15 * SPREAD


def test_an_item_that_nobody_rated_has_none() -> None:
    _, deviations, counts = world(0, 0.0)
    counts[:5], deviations[:5] = 0.0, 0.0
    found = item_biases(deviations, counts, 0.0)
    assert (found[:5] == 0).all() and (found[5:] != 0).all()
    assert (item_biases(np.zeros(3), np.zeros(3), 0.0) == 0).all()


def test_more_noise_shrinks_more() -> None:
    sizes = [np.abs(item_biases(*world(1, noise)[1:], noise)).mean() for noise in (0.0, 0.2, 1.0)]
    assert sizes == sorted(sizes, reverse=True)
