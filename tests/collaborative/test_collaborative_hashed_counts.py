"""Counts by hash tables: bounded whatever shares a bucket, unbiased, and off by what is said of them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedrec.collaborative.hashed_counts import TABLES, buckets_of, counts_of, deviation_of, hashed

ITEMS: Final = 20_000
WIDTH: Final = 1_000
Floats = NDArray[np.float64]


def used(people: int, each: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Items, owners and values: so many people with so many different items each, few of which are popular."""
    rng = np.random.default_rng(seed)
    chance = 1.0 / np.arange(1, ITEMS + 1)
    items = np.concatenate([rng.choice(ITEMS, each, replace=False, p=chance / chance.sum()) for _ in range(people)])
    return items, np.repeat(np.arange(people), each), np.full(people * each, 1 / math.sqrt(each))


def test_the_buckets_are_the_same_on_every_machine_and_spread_evenly() -> None:
    # By SplitMix64 of 3 place + table, worked out apart from this code: python -c with whole numbers modulo 2^64.
    assert buckets_of(6, 1000).tolist() == [
        [535, 444, 913, 390, 683, 907],
        [700, 747, 940, 201, 431, 925],
        [679, 90, 299, 726, 817, 902],
    ]
    assert [by_whole_numbers(place, table, 1000) for place in range(6) for table in range(TABLES)] == (
        buckets_of(6, 1000).T.ravel().tolist()
    )
    for table in buckets_of(100_000, 50):
        counts = np.bincount(table, minlength=50)
        assert ((counts - 2_000) ** 2 / 2_000).sum() < 100  # chi squared of 49 degrees: 100 has p = 2e-5
    first, second, third = buckets_of(100_000, 50)
    assert np.mean(first == second) == pytest.approx(0.02, abs=0.002)
    assert np.mean(second == third) == pytest.approx(0.02, abs=0.002)


def by_whole_numbers(place: int, table: int, width: int) -> int:
    mask = 2**64 - 1
    mixed = (3 * place + table + 1) * 0x9E3779B97F4A7C15 & mask
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & mask
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & mask
    return (mixed ^ mixed >> 31) % width


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 299), min_size=1, max_size=40, unique=True), min_size=1, max_size=4),
    st.integers(16, 40),
)
def test_nobody_moves_the_sum_by_more_than_the_bound(histories: list[list[int]], width: int) -> None:
    items = np.array([item for history in histories for item in history])
    owners = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    values = 1 / np.sqrt(np.array([len(history) for history in histories]))[owners]
    whole = hashed(items, owners, values, width, bound=1.0)
    for user in range(len(histories)):
        without = owners != user
        rest = hashed(items[without], owners[without], values[without], width, bound=1.0)
        assert np.linalg.norm(whole - rest) <= 1 + 1e-9


def test_items_that_share_all_their_buckets_would_break_the_bound_without_the_clip() -> None:
    """Whoever picks items, or the catalogue's order, so that they meet in a bucket gains nothing by it."""
    first = buckets_of(ITEMS, 16)[0]
    together = np.flatnonzero(first == first[0])[:400]
    values = np.full(len(together), 1 / math.sqrt(len(together)))
    owners = np.zeros(len(together), dtype=np.int64)
    assert np.linalg.norm(hashed(together, owners, values, 16, bound=1.0)) == pytest.approx(1.0)
    assert np.linalg.norm(hashed(together, owners, values, 16, bound=math.inf)) > 5


def test_a_popular_item_makes_no_popular_item_of_those_in_its_buckets() -> None:
    counts = np.zeros(ITEMS)
    counts[7] = 10_000.0
    found = counts_of(sums_of(counts), ITEMS)
    assert found[7] == pytest.approx(10_000.0)
    assert np.abs(np.delete(found, 7)).max() < 50
    by_one_table = sums_of(counts)[:WIDTH][buckets_of(ITEMS, WIDTH)[0]] * math.sqrt(TABLES)
    assert (by_one_table > 5_000).sum() > 5


def sums_of(counts: Floats) -> Floats:
    """The tables of given counts, by the definition."""
    tables = [np.bincount(one, weights=counts, minlength=WIDTH) for one in buckets_of(len(counts), WIDTH)]
    return np.concatenate(tables) / math.sqrt(TABLES)


def test_what_users_add_up_to_is_the_tables_of_the_counts() -> None:
    items, owners, values = used(people=200, each=3)
    counts = np.bincount(items, weights=values, minlength=ITEMS)
    found = hashed(items, owners, values, WIDTH, bound=math.inf)
    np.testing.assert_allclose(found, sums_of(counts), atol=1e-12)
    assert not hashed(items[:0], owners[:0], values[:0], WIDTH, bound=1.0).any()


@pytest.mark.parametrize("noise", [0.0, 0.5, 6.0])
def test_counts_are_off_by_no_more_than_is_said(noise: float) -> None:
    items, _, values = used(people=2_000, each=10)
    counts = np.bincount(items, weights=values, minlength=ITEMS)
    sums = sums_of(counts)
    sums += noise * np.random.default_rng(5).standard_normal(len(sums))
    off = counts_of(sums, ITEMS) - counts
    said = deviation_of(sums, noise)
    measured = float(np.sqrt(np.mean(off**2)))
    # Few items are most of the squares, and a median passes over most of what these put into buckets: what is said is
    # no less than what is measured, and what is measured no less than the noise alone.
    assert measured < 1.05 * said
    assert measured > 0.95 * deviation_of(np.zeros_like(sums), noise)


def test_more_noise_or_less_is_seen_in_what_is_said() -> None:
    """The factor of the median is right to a few percent: two thirds of the noise and three halves are told apart."""
    rng = np.random.default_rng(9)
    off = counts_of(2.0 * rng.standard_normal(TABLES * WIDTH), ITEMS)
    measured = float(off.std())
    zero = np.zeros(TABLES * WIDTH)
    assert measured == pytest.approx(deviation_of(zero, 2.0), rel=0.08)
    for wrong in (2.0 * 2 / 3, 2.0 * 3 / 2):
        assert measured != pytest.approx(deviation_of(zero, wrong), rel=0.2)
