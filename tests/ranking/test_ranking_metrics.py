from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking import lists, metrics
from fedrec.ranking.metrics import Standing

LEVELS = arrays(np.float64, st.tuples(st.just(1), st.integers(2, 7)), elements=st.integers(-2, 2).map(float))


def at(target: float, others: list[float]) -> Standing:
    row = np.array([others], dtype=np.float32)
    return metrics.standing(np.array([target], dtype=np.float32), row, np.ones(row.shape, dtype=np.bool_))


def test_a_place_without_ties_by_hand() -> None:
    third = at(5.0, [9.0, 7.0, 1.0, 2.0])
    assert third.rank[0] == 3.0
    assert metrics.hit_rate(third, 2)[0] == 0.0
    assert metrics.hit_rate(third, 3)[0] == 1.0
    assert metrics.ndcg(third, 3)[0] == pytest.approx(1 / math.log2(4))
    assert metrics.ndcg(third, 2)[0] == 0.0
    assert metrics.reciprocal_rank(third)[0] == pytest.approx(1 / 3)
    assert metrics.reciprocal_rank(third, 2)[0] == 0.0
    assert metrics.auc(third)[0] == pytest.approx(0.5)


def test_ties_by_hand() -> None:
    # One better, two equal: places 2, 3 and 4 with one third each.
    tied = at(5.0, [9.0, 5.0, 5.0, 1.0])
    assert tied.rank[0] == 3.0
    assert metrics.hit_rate(tied, 2)[0] == pytest.approx(1 / 3)
    assert metrics.ndcg(tied, 3)[0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / 3)
    assert metrics.reciprocal_rank(tied)[0] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert metrics.auc(tied)[0] == pytest.approx(1 - (1 + 1) / 4)


def test_a_constant_scorer_gets_what_chance_gets() -> None:
    constant = at(0.0, [0.0] * 99)
    assert metrics.hit_rate(constant, 10)[0] == pytest.approx(0.10)
    assert metrics.auc(constant)[0] == 0.5
    assert metrics.ndcg(constant, 10)[0] == pytest.approx(sum(1 / math.log2(p + 1) for p in range(1, 11)) / 100)
    assert metrics.reciprocal_rank(constant)[0] == pytest.approx(sum(1 / p for p in range(1, 101)) / 100)


def test_what_is_masked_does_not_count() -> None:
    others = np.array([[9.0, np.nan, 1.0]], dtype=np.float32)
    found = metrics.standing(np.array([5.0], np.float32), others, np.array([[True, False, True]]))
    assert (found.better[0], found.equal[0], found.candidates[0]) == (1, 0, 3)


def test_auc_without_another_candidate_is_not_a_number() -> None:
    assert np.isnan(metrics.auc(at(1.0, []))[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ModelError, match="finite"):
        at(bad, [1.0])
    with pytest.raises(ModelError, match="finite"):
        at(1.0, [bad])


@pytest.mark.parametrize("k", [0, -1])
def test_k_must_count_something(k: int) -> None:
    for metric in (metrics.hit_rate, metrics.ndcg, metrics.reciprocal_rank):
        with pytest.raises(ModelError, match="at least 1"):
            metric(at(1.0, [0.0]), k)


@given(LEVELS, st.integers(1, 8))
def test_every_metric_is_its_mean_over_the_orders_of_ties(row: NDArray[np.float64], k: int) -> None:
    target, others = row[:, 0], row[:, 1:]
    found = metrics.standing(target.astype(np.float32), others.astype(np.float32), np.ones(others.shape, np.bool_))
    places = np.array([1 + order.index(0) for order in tie_orders(row[0])])
    assert found.rank[0] == pytest.approx(places.mean())
    assert metrics.hit_rate(found, k)[0] == pytest.approx((places <= k).mean())
    assert metrics.ndcg(found, k)[0] == pytest.approx(np.mean((places <= k) / np.log2(places + 1)))
    assert metrics.reciprocal_rank(found, k)[0] == pytest.approx(np.mean((places <= k) / places))


def tie_orders(row: NDArray[np.float64]) -> list[tuple[int, ...]]:
    """Every order of the places that sorts the row downwards."""
    best = sorted(row, reverse=True)
    return [order for order in permutations(range(len(row))) if [row[place] for place in order] == best]


@given(arrays(np.float32, (3, 9), elements=st.integers(-20, 20).map(float)), st.integers(1, 12))
def test_monotone_transforms_change_nothing_and_bounds_hold(scores: NDArray[np.float32], k: int) -> None:
    mask = np.ones((3, 8), dtype=np.bool_)
    plain = metrics.standing(scores[:, 0], scores[:, 1:], mask)
    turned = np.exp(scores / 8).astype(np.float32) * 3 - 1
    other = metrics.standing(turned[:, 0], turned[:, 1:], mask)
    for metric in (metrics.hit_rate, metrics.ndcg, metrics.reciprocal_rank):
        np.testing.assert_array_equal(metric(plain, k), metric(other, k))
        assert np.all((metric(plain, k) >= 0) & (metric(plain, k) <= 1 + 1e-12))
        assert np.all(metric(plain, k) <= metric(plain, k + 1) + 1e-12)
    assert np.all((metrics.auc(plain) >= 0) & (metrics.auc(plain) <= 1))


def test_coverage_by_hand() -> None:
    assert lists.coverage(np.array([[0, 1], [1, -1]]), 4) == 0.5
    assert lists.coverage(np.array([[-1]]), 4) == 0.0
    with pytest.raises(ModelError):
        lists.coverage(np.array([[0]]), 0)


def test_diversity_by_hand() -> None:
    vectors = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    top = np.array([[0, 1, 2], [0, 2, -1], [0, 3, 1], [0, 3, -1], [0, 4, -1]])
    found = lists.diversity(top, vectors)
    np.testing.assert_allclose(found[:3], [1 - 1 / 3, 0.0, 1.0], atol=1e-12)
    assert np.isnan(found[3])
    assert found[4] == pytest.approx(2.0)


@given(arrays(np.float64, (6, 3), elements=st.floats(-5, 5)), st.permutations(range(6)))
def test_diversity_is_one_minus_the_mean_cosine(vectors: NDArray[np.float64], order: list[int]) -> None:
    vectors = np.round(vectors, 3)
    top = np.array([order[:4]])
    rows = [vectors[i] / np.linalg.norm(vectors[i]) for i in order[:4] if np.linalg.norm(vectors[i]) > 0]
    cosines = [float(a @ b) for i, a in enumerate(rows) for b in rows[i + 1 :]]
    found = lists.diversity(top, vectors)[0]
    assert found == pytest.approx(1 - np.mean(cosines), abs=1e-9) if cosines else np.isnan(found)


def test_novelty_by_hand() -> None:
    found = lists.novelty(np.array([[0, 1], [1, -1], [2, -1], [-1, -1]]), np.array([6.0, 2.0, 0.0]))
    np.testing.assert_allclose(found[:3], [(math.log2(8 / 6) + 2) / 2, 2.0, math.log2(40)])
    assert np.isnan(found[3])
    for bad in (np.zeros(3), np.array([1.0, -1.0, 1.0])):
        with pytest.raises(ModelError):
            lists.novelty(np.array([[0]]), bad)


def test_content_vectors_join_what_has_a_cosine() -> None:
    values: dict[str, NDArray[np.generic]] = {
        "text": np.array([[3.0, 4.0], [1.0, 0.0]], np.float32),
        "image": np.zeros((2, 3, 4, 4), np.uint8),
        "attributes": np.array([[2.0], [5.0]], np.float32),
    }
    present = {name: np.array([True, name != "text"]) for name in values}
    joined = lists.content_vectors(values, present)
    assert joined is not None
    np.testing.assert_allclose(joined, [[1.0, 0.6, 0.8], [1.0, 0.0, 0.0]])
    assert lists.content_vectors({"image": values["image"]}, present) is None
