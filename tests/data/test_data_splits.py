"""Splits: what is held out never trains, time order is kept, and each rule gives what is worked out by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.data.schema import TEST, TRAIN, UNSPLIT, VALID, Dataset, Interactions, ItemRecord, LeaveOneOut
from fedrec.data.splits import Split, split

Row = tuple[int, int, int, int]  # user, item, timestamp, mark


def make(rows: list[Row], users: int, items: int, evaluation: LeaveOneOut | None = None) -> Dataset:
    ordered = sorted(rows, key=lambda row: (row[0], row[2]))
    user, item, timestamp, mark = zip(*ordered, strict=True) if ordered else ((), (), (), ())
    return Dataset(
        name="made",
        directory=Path(),
        users=tuple(f"u{k}" for k in range(users)),
        items=tuple(ItemRecord(f"i{k}", "") for k in range(items)),
        interactions=Interactions(
            np.array(user, np.int32),
            np.array(item, np.int32),
            np.full(len(ordered), np.nan, np.float32),
            np.array(timestamp, np.int64),
            np.array(mark, np.int8),
        ),
        evaluation=evaluation,
    )


def training(result: Split) -> list[list[int]]:
    return [result.training[user].tolist() for user in range(len(result.valid))]


def sequence(items: list[int], user: int = 0, mark: int = UNSPLIT) -> list[Row]:
    return [(user, item, time, mark) for time, item in enumerate(items)]


def test_the_last_two_by_time_are_held_out() -> None:
    result = split(make(sequence([4, 2, 0, 3]) + sequence([1, 0, 2], user=2), users=3, items=5))
    assert training(result) == [[4, 2], [], [1]]
    assert result.valid.tolist() == [0, -1, 0]
    assert result.test.tolist() == [3, -1, 2]
    assert result.training.indptr.tolist() == [0, 2, 2, 3]


@pytest.mark.parametrize("items", [[], [1], [1, 2], [1, 2, 1, 2, 2]])
def test_a_user_with_fewer_than_3_different_items_keeps_all(items: list[int]) -> None:
    result = split(make(sequence(items), users=1, items=5))
    assert training(result) == [list(dict.fromkeys(items))]
    assert (result.valid.tolist(), result.test.tolist()) == ([-1], [-1])
    assert result.negatives is None


def test_the_first_row_of_a_pair_counts() -> None:
    result = split(make(sequence([1, 2, 3, 4, 1, 2]), users=1, items=5))
    assert (training(result), result.valid.tolist(), result.test.tolist()) == ([[1, 2]], [3], [4])


def test_unknown_times_count_in_the_order_of_the_file_before_known_ones() -> None:
    rows = [(0, 4, 9, UNSPLIT), (0, 0, -1, UNSPLIT), (0, 1, -1, UNSPLIT), (0, 3, 5, UNSPLIT)]
    result = split(make(rows, users=1, items=5))
    assert (training(result), result.valid.tolist(), result.test.tolist()) == ([[0, 1]], [3], [4])


def test_the_split_column_rules_over_time() -> None:
    marks = [TEST, TRAIN, VALID, TRAIN, VALID, UNSPLIT, TEST]
    rows = [(0, item, item, mark) for item, mark in enumerate(marks)] + sequence([3, 2, 1], user=1)
    result = split(make(rows, users=2, items=9))
    assert training(result) == [[1, 3, 5], [3, 2, 1]]
    assert result.valid.tolist() == [4, -1]
    assert result.test.tolist() == [6, -1]


def test_the_evaluation_file_rules_over_both() -> None:
    given_items = LeaveOneOut(
        np.array([0, -1, -1], np.int32),
        np.array([1, 7, -1], np.int32),
        np.array([[5, 6], [4, -1], [-1, -1]], np.int32),
    )
    rows = sequence([0, 1, 2, 3]) + sequence([1, 2, 3], user=1)
    rows += [(2, 4, 0, TRAIN), (2, 5, 1, TEST), (0, 8, 9, TEST)]
    result = split(make(rows, users=3, items=9, evaluation=given_items))
    assert training(result) == [[2, 3], [1, 2, 3], [4]]
    assert result.valid.tolist() == [0, -1, -1]
    assert result.test.tolist() == [1, 7, 5]
    assert result.negatives is given_items.negatives


rows_of_any_kind = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(-1, 5), st.sampled_from([UNSPLIT, TRAIN, VALID, TEST])),
    max_size=60,
)
places = st.integers(-1, 9)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    rows = draw(rows_of_any_kind)
    if draw(st.booleans()):
        rows = [(user, item, time, UNSPLIT) for user, item, time, _ in rows]
    evaluation = None
    if draw(st.booleans()):
        held = [draw(st.tuples(places, places).filter(lambda pair: pair[0] != pair[1] or -1 in pair)) for _ in range(4)]
        valid, test = np.array(held, np.int32).T
        evaluation = LeaveOneOut(valid, test, np.full((4, 2), -1, np.int32))
    return make(rows, users=4, items=10, evaluation=evaluation)


@given(datasets())
def test_no_held_out_item_trains_and_time_order_is_kept(dataset: Dataset) -> None:
    result = split(dataset)
    table = dataset.interactions
    assert result.training.indptr.dtype == np.int64
    assert {result.training.items.dtype, result.valid.dtype, result.test.dtype} == {np.dtype(np.int32)}
    assert result.training.indptr[-1] == len(result.training.items) == len(result.rows)
    for user in range(4):
        items = result.training[user].tolist()
        valid, test = int(result.valid[user]), int(result.test[user])
        assert valid not in items
        assert test not in items
        assert valid == -1 or valid != test
        assert len(set(items)) == len(items)
        rows = result.rows[result.training.indptr[user] : result.training.indptr[user + 1]]
        assert (table.user[rows] == user).all()
        assert table.item[rows].tolist() == items
        assert (np.diff(rows) > 0).all()
        assert (np.diff(table.timestamp[rows]) >= 0).all()
        assert not np.isin(table.split[rows], (VALID, TEST)).any()


@given(datasets())
def test_nothing_is_lost_without_marks(dataset: Dataset) -> None:
    table = dataset.interactions
    if dataset.evaluation is not None or (table.split != UNSPLIT).any():
        return
    result = split(dataset)
    for user in range(4):
        held = [int(item) for item in (result.valid[user], result.test[user]) if item >= 0]
        assert sorted(result.training[user].tolist() + held) == sorted(set(table.item[table.user == user].tolist()))


@pytest.mark.parametrize(("items", "width"), [(50, 46), (103, 99), (104, 99), (5000, 99)])
def test_drawn_negatives_are_new_to_the_user(items: int, width: int) -> None:
    dataset = make(sequence([0, 7, 3, 9]) + sequence([1], user=1), users=2, items=items)
    result = split(dataset, seed=5)
    assert result.negatives is not None
    assert result.negatives.shape == (2, width)
    drawn = result.negatives[0].tolist()
    assert len(set(drawn)) == width
    assert set(drawn) <= set(range(items)) - {0, 7, 3, 9}
    assert (result.negatives[1] == -1).all()
    again, other = split(dataset, seed=5).negatives, split(dataset, seed=6).negatives
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(again, result.negatives)
    assert (other != result.negatives).any()


@pytest.mark.parametrize("items", [300, 1000])
def test_drawn_negatives_are_uniform(items: int) -> None:
    users = 400
    rows = [row for user in range(users) for row in sequence([0, 1, 2], user=user)]
    negatives = split(make(rows, users=users, items=items)).negatives
    assert negatives is not None
    counts = np.bincount(negatives.ravel(), minlength=items)
    expected = users * 99 / (items - 3)
    assert (counts[:3] == 0).all()
    # Each count is binomial; six standard deviations hold for all items but once in ten million runs.
    assert np.abs(counts[3:] - expected).max() < 6 * np.sqrt(expected)
