from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.rerank import mmr
from fedrec.ranking.topk import id_order, top_k, without_seen
from fedrec.users import Histories

SCORES = arrays(np.float32, (3, 8), elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]))


@given(SCORES, st.integers(1, 10), st.permutations(range(8)))
def test_the_top_is_that_of_a_full_sort(scores: NDArray[np.float32], k: int, order: list[int]) -> None:
    ties = np.array(order)
    found = top_k(scores, k, order=ties)
    for user in range(3):
        wanted = sorted((-scores[user, i], ties[i], i) for i in range(8) if scores[user, i] > -np.inf)[:k]
        assert found[user].tolist() == [i for *_, i in wanted] + [-1] * (k - len(wanted))


def test_ties_go_by_id() -> None:
    order = id_order(["b", "a", "c"])
    assert order.tolist() == [1, 0, 2]
    assert top_k(np.zeros((1, 3), np.float32), 2, order=order).tolist() == [[1, 0]]


def test_what_was_seen_is_never_listed() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]], np.float32)
    left = without_seen(scores, Histories.of([[0, 2], []]))
    assert top_k(left, 3).tolist() == [[1, -1, -1], [2, 1, 0]]
    assert scores[0, 0] == 3.0
    with pytest.raises(ModelError, match="beyond"):
        without_seen(scores, Histories.of([[3], []]))


def test_nothing_gives_nothing() -> None:
    assert top_k(np.zeros((0, 3), np.float32), 2).shape == (0, 2)
    assert top_k(np.zeros((1, 0), np.float32), 2).tolist() == [[-1, -1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_cannot_be_ranked_are_refused(bad: float) -> None:
    with pytest.raises(ModelError, match="finite"):
        top_k(np.array([[0.0, bad]], np.float32), 1)
    with pytest.raises(ModelError, match="one place"):
        top_k(np.zeros((1, 2), np.float32), 0)


VECTORS = np.array([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0], [0.7, 0.7]])


def test_mmr_by_hand() -> None:
    places, scores = np.array([0, 1, 2]), np.array([1.0, 0.9, 0.0])
    assert mmr(places, scores, VECTORS, 3, variety=0.0).tolist() == [0, 1, 2]
    # After 0, the near copy 1 gets .45 - .5 and the unlike 2 gets 0 - 0.
    assert mmr(places, scores, VECTORS, 3, variety=0.5).tolist() == [0, 2, 1]
    assert mmr(places, scores, VECTORS, 2, variety=0.5).tolist() == [0, 2]


@given(st.floats(0, 1), st.integers(1, 6))
def test_mmr_picks_distinct_candidates_and_the_best_first(variety: float, k: int) -> None:
    places, scores = np.array([3, 0, 2, 1]), np.array([4.0, 3.0, 2.0, 1.0])
    found = mmr(places, scores, VECTORS, k, variety=variety).tolist()
    assert found[0] == 3 and len(set(found)) == len(found) == min(k, 4) and set(found) <= {0, 1, 2, 3}


def test_mmr_of_nothing_and_of_equals() -> None:
    assert mmr(np.zeros(0, np.int64), np.zeros(0), VECTORS, 3).tolist() == []
    assert mmr(np.array([2, 0]), np.zeros(2), VECTORS, 2).tolist() == [2, 0]


@pytest.mark.parametrize(("variety", "k", "scores"), [(-0.1, 1, [1.0]), (1.1, 1, [1.0]), (0.5, 0, [1.0]), (0.5, 1, [])])
def test_mmr_refuses_what_makes_no_sense(variety: float, k: int, scores: list[float]) -> None:
    with pytest.raises(ModelError):
        mmr(np.array([0]), np.array(scores), VECTORS, k, variety=variety)
