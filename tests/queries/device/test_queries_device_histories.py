"""One-shot parts: equal to a slow sum over users, and bounded for both privacy units."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.queries.cooccurrence import USER_BOUND, unfold
from fedrec.queries.device.cooccurrence import used_pairs
from fedrec.queries.device.popularity import used_items
from fedrec.queries.popularity import example_bound
from fedrec.users import Histories, UserBatch, keys_of

ITEMS = 12
baskets = st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=ITEMS), min_size=1, max_size=5)


def population_of(lists: list[list[int]]) -> UserBatch:
    return UserBatch(Histories.of(lists), keys=keys_of([str(u) for u in range(len(lists))]))


@settings(max_examples=60, deadline=None)
@given(baskets, st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.1, 40))
def test_cooccurrence_equals_a_loop_over_users(lists: list[list[int]], normalise: float, bound: float) -> None:
    taking = np.array([0, 2, 3, 5, 8, 9, 11])
    expected = np.zeros((7, 7))
    for basket in lists:
        x = np.isin(taking, basket).astype(float)
        if x.sum():
            part = np.triu(np.outer(x, x)) / x.sum() ** normalise
            expected += part * min(1.0, bound / np.linalg.norm(part))
    got = used_pairs(population_of(lists), taking, ITEMS, normalise=normalise, bound=bound)
    np.testing.assert_allclose(got, expected[np.triu_indices(7)], atol=1e-9)
    np.testing.assert_allclose(np.triu(unfold(got)), expected, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(baskets)
def test_popularity_equals_a_loop_over_users(lists: list[list[int]]) -> None:
    expected = np.zeros(ITEMS)
    for basket in lists:
        expected[basket] += 1 / np.sqrt(max(1, len(basket)))
    np.testing.assert_allclose(used_items(population_of(lists), ITEMS, 1.0), expected)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, ITEMS - 1), unique=True, min_size=1), st.data())
def test_one_user_and_one_interaction_move_the_sums_by_at_most_their_bounds(
    basket: list[int], data: st.DataObject
) -> None:
    everything = np.arange(ITEMS)
    gone = data.draw(st.sampled_from(basket))
    fewer = [item for item in basket if item != gone]

    def parts(history: list[int], bound: float) -> tuple[np.ndarray, np.ndarray]:
        people = population_of([history])
        return used_items(people, ITEMS, 1.0), used_pairs(people, everything, ITEMS, normalise=1.0, bound=bound)

    of_user = parts(basket, USER_BOUND)
    assert np.linalg.norm(of_user[0]) <= 1 + 1e-9
    assert np.linalg.norm(of_user[1]) <= USER_BOUND + 1e-9
    for whole, without in zip(parts(basket, 1.0), parts(fewer, 1.0), strict=True):
        assert np.linalg.norm(whole - without) <= 1 + 1e-9


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, ITEMS - 1), unique=True, min_size=1), st.integers(1, ITEMS + 3), st.data())
def test_with_a_short_history_weighting_one_interaction_moves_the_sums_by_its_root_at_most(
    basket: list[int], weighting: int, data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(basket))
    most = example_bound(weighting)

    def parts(history: list[int]) -> tuple[np.ndarray, np.ndarray]:
        people, everything = population_of([history]), np.arange(ITEMS)
        pairs = used_pairs(people, everything, ITEMS, normalise=1.0, bound=1.0, short_history_weighting=weighting)
        return used_items(people, ITEMS, 1.0, weighting), pairs

    for whole, without in zip(parts(basket), parts([i for i in basket if i != gone]), strict=True):
        assert np.linalg.norm(whole - without) <= most + 1e-12


def test_a_short_history_weighting_is_used_up_by_a_user_just_at_it() -> None:
    at, before = population_of([list(range(8))]), population_of([list(range(7))])
    moved = used_pairs(at, np.arange(ITEMS), ITEMS, normalise=1.0, bound=1.0, short_history_weighting=8) - used_pairs(
        before, np.arange(ITEMS), ITEMS, normalise=1.0, bound=1.0, short_history_weighting=8
    )
    assert np.linalg.norm(moved) == pytest.approx(example_bound(8))


@pytest.mark.parametrize("events", [1, 2, 27, 28, 5000])
def test_the_user_bound_is_just_above_most_users_norm(events: int) -> None:
    norm = np.sqrt((1 + 1 / events) / 2)
    assert (norm <= USER_BOUND) == (events >= 28)
