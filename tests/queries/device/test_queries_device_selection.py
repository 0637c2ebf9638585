"""What a user adds to query ``selection``: known answers, bounds, and what a device refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from fedrec.queries.device.selection import expected_ndcg, selection_rows, share_above
from fedrec.users import Histories


def test_the_share_above_counts_what_the_user_did_not_touch_and_ties_half() -> None:
    scores = np.array([[5.0, 4.0, 3.0, 3.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    training = Histories.of([np.array([0]), np.array([], dtype=np.int32)])
    # The first user's item 2 stands among 1, 3 and 4: one is above, one the same. The second's is tied with all.
    found = share_above(scores, training, np.array([2, 1], dtype=np.int32))
    np.testing.assert_allclose(found, [(1 + 0.5) / 3, 0.5])


def test_without_another_item_nothing_is_above() -> None:
    training = Histories.of([np.array([0])])
    assert share_above(np.ones((1, 2), np.float32), training, np.array([1], np.int32)).tolist() == [0.0]


def test_expected_ndcg_of_the_best_and_of_the_worst() -> None:
    np.testing.assert_allclose(expected_ndcg(np.array([0.0, 1.0])), [1.0, 0.0])


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_expected_ndcg_is_the_mean_over_draws_of_99(share: float) -> None:
    places = np.arange(10)
    wanted = (binom.pmf(places, 99, share) / np.log2(places + 2)).sum()
    np.testing.assert_allclose(expected_ndcg(np.array([share])), [wanted], rtol=1e-12)
    draws = np.random.default_rng(3).binomial(99, share, 200_000)
    mean = np.where(draws < 10, 1 / np.log2(draws + 2), 0.0).mean()
    assert mean == pytest.approx(wanted, abs=4e-3)


def test_rows_by_hand() -> None:
    gains = np.array([[0.5, 0.3, 0.1], [0.2, 0.2, 0.2], [1.0, 0.0, 0.0]])
    rows = selection_rows(gains, 0.5, 1)
    np.testing.assert_allclose(rows[0], [0.2, 0.0, -0.2], atol=1e-12)  # of length .283
    np.testing.assert_allclose(rows[1], 0.0, atol=1e-12)
    np.testing.assert_allclose(rows[2], np.array([2, -1, -1]) * 0.25 / 3)  # 1 apart, which counts as .25
    wide = selection_rows(np.array([[0.0, 0.5, 0.5, 1.0]]), 0.5, 1)  # apart by -.25, 0, 0, .25: of length .354
    np.testing.assert_allclose(wide, [[-0.25, 0.0, 0.0, 0.25]], atol=1e-12)
    long = selection_rows(np.array([[0.0, 0.5, 1.0, 0.0, 1.0, 1.0, 0.0]]), 0.5, 1)  # six of .25, of length .612
    np.testing.assert_allclose(long, np.array([[-1, 0, 1, -1, 1, 1, -1]]) / math.sqrt(6) * 0.5)


def test_one_candidate_unlike_all_others_does_not_drown_what_the_rest_differ_by() -> None:
    """A user to whom popularity is far worse says as much of two readings as one to whom it is not."""
    gains = np.array([[0.50, 0.52, 0.0], [0.50, 0.52, 0.50]])
    rows = selection_rows(gains, 0.2, 0)
    np.testing.assert_allclose(rows[:, 1] - rows[:, 0], 0.02, atol=1e-12)


@given(arrays(np.float64, (3, 5), elements=st.floats(0, 1)), st.floats(0.01, 2))
def test_rows_are_centred_and_within_the_bound(gains: np.ndarray, clip: float) -> None:
    rows = selection_rows(gains, clip, 2)
    assert np.abs(rows.sum(axis=1)).max() <= 1e-12
    assert np.linalg.norm(rows, axis=1).max() <= clip * (1 + 1e-12)
    assert np.abs(rows).max() <= clip * math.sqrt(4 / 5) * (1 + 1e-12)


@given(arrays(np.float64, (2, 4), elements=st.floats(0, 1)), st.floats(0.01, 2))
def test_two_users_are_no_further_apart_than_twice_the_bound_nor_than_their_differences(
    gains: np.ndarray, clip: float
) -> None:
    rows = selection_rows(gains, clip, 1)
    apart = np.linalg.norm(rows[0] - rows[1])
    assert apart <= 2 * clip * (1 + 1e-12)
    told = gains - gains[:, [1]]
    assert apart <= np.linalg.norm(told[0] - told[1]) * (1 + 1e-9) + 1e-12
