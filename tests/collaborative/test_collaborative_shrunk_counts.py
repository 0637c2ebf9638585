"""Noisy counts brought nearer to the true ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.collaborative.shrunk_counts import CERTAIN, shrunk_counts

ITEMS = 1_500


def drawn(deviation: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """True counts of a catalogue most of which is used by few, and the same with noise."""
    rng = np.random.default_rng(seed)
    true = rng.lognormal(1.0, 1.3, ITEMS)
    return true, true + rng.normal(0.0, deviation, ITEMS)


@pytest.mark.parametrize("deviation", [2.0, 5.0, 20.0])
def test_they_are_nearer_to_the_truth_than_what_was_seen(deviation: float) -> None:
    true, noisy = drawn(deviation)
    seen, found = np.maximum(noisy, 0.0), shrunk_counts(noisy, deviation)
    assert np.square(found - true).mean() < 0.9 * np.square(seen - true).mean()


def test_no_count_is_below_zero_and_more_seen_is_more_found() -> None:
    _, noisy = drawn(5.0)
    order = np.argsort(noisy)
    found = shrunk_counts(noisy, 5.0)[order]
    assert (found >= 0).all()
    assert (np.diff(found) >= -1e-9).all()


def test_what_stands_far_out_of_the_noise_stays() -> None:
    _, noisy = drawn(1.0)
    sure = noisy > CERTAIN
    np.testing.assert_array_equal(shrunk_counts(noisy, 1.0)[sure], noisy[sure])


def test_without_noise_counts_are_as_they_are() -> None:
    np.testing.assert_array_equal(shrunk_counts(np.array([3.0, -1.0, 0.5]), 0.0), [3.0, 0.0, 0.5])


def test_the_unit_does_not_matter() -> None:
    _, noisy = drawn(5.0)
    np.testing.assert_allclose(shrunk_counts(noisy * 16, 80.0), shrunk_counts(noisy, 5.0) * 16, rtol=1e-6)


@given(st.lists(st.floats(-1e9, 1e9), max_size=20), st.floats(1e-3, 1e6))
def test_anything_is_finite_and_zero_or_above(noisy: list[float], deviation: float) -> None:
    found = shrunk_counts(np.array(noisy, dtype=np.float64), deviation)
    assert found.shape == (len(noisy),)
    assert np.isfinite(found).all() and (found >= 0).all()
