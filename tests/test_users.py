"""Batches of users' data: cut, padded and joined as lists are, and refused where their parts do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ModelError
from fedrec.users import Histories, OwnContent, RatedItems, UserBatch, keys_of, pointers_of

LISTS = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5)


def lists_of(histories: Histories) -> list[list[int]]:
    return [histories[user].tolist() for user in range(len(histories))]


def batch() -> UserBatch:
    """Three users, of whom the second has no event, and everything is known."""
    return UserBatch(
        Histories.of([[4, 2, 7], [], [5]]),
        keys=keys_of(["a", "b", "c"]),
        held_out=np.array([1, -1, 3], np.int32),
        notes=OwnContent.of([np.full((count, 2), count, np.float32) for count in (1, 0, 2)]),
        photos=OwnContent.of([np.full((count, 3), count, np.float32) for count in (0, 2, 1)]),
        times=np.array([10, 20, 30, 40]),
        adapter=np.arange(6, dtype=np.float32).reshape(3, 2),
        context=np.arange(12, dtype=np.float32).reshape(3, 4),
    )


@given(LISTS, st.integers(1, 7), st.data())
def test_histories_cut_and_pad_like_lists(lists: list[list[int]], count: int, data: st.DataObject) -> None:
    joined = Histories.of(lists)
    table, mask = joined.last(count)
    assert [table[u][mask[u]].tolist() for u in range(len(lists))] == [one[-count:] for one in lists]
    assert table.shape == mask.shape and table.shape[1] >= 1
    assert not table[~mask].any()
    chosen = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    assert lists_of(joined.take(np.array(chosen, dtype=np.int64))) == [lists[u] for u in chosen]
    assert joined.owners.tolist() == [u for u, one in enumerate(lists) for _ in one]
    assert joined.lengths.tolist() == [len(one) for one in lists]
    even = joined.where(joined.items % 2 == 0)
    assert lists_of(even) == [[item for item in one if item % 2 == 0] for one in lists]


def test_pointers_lie_between_runs() -> None:
    assert pointers_of([2, 0, 3]).tolist() == [0, 2, 2, 5]
    assert pointers_of([]).tolist() == [0]


def test_contents_cut_and_pad() -> None:
    given_ = OwnContent.of([np.ones((2, 3), np.float32), np.zeros((0, 3), np.float32), np.full((1, 3), 2, np.float32)])
    values, mask = given_.take(np.array([2, 0])).padded()
    assert mask.tolist() == [[True, False], [True, True]]
    assert values[0, 0, 0] == 2 and values[1, 1, 0] == 1
    empty, mask = given_.take(np.array([1])).padded()
    assert empty.shape == (1, 1, 3) and not mask.any()
    with pytest.raises(ModelError):
        OwnContent.of([])


def test_contents_are_cut_to_the_first_few() -> None:
    contents = OwnContent.of([np.arange(5, dtype=np.float32)[:, None], np.full((1, 1), 9, np.float32)])
    values, mask = contents.padded(2)
    assert mask.tolist() == [[True, True], [True, False]]
    assert values[mask].ravel().tolist() == [0, 1, 9]
    assert contents.padded(0)[1].tolist() == [[False], [False]]


@pytest.mark.parametrize(
    ("indptr", "items"), [([0, 2], [1]), ([1, 1], [1]), ([0, 2, 1], [1]), ([], []), ([0, 1], [-1])]
)
def test_pointers_that_do_not_fit_are_refused(indptr: list[int], items: list[int]) -> None:
    with pytest.raises(ModelError):
        Histories(np.array(indptr, np.int64), np.array(items, np.int32))


def test_an_item_beyond_the_catalogue_is_refused() -> None:
    Histories.of([[0, 4]]).check(5)
    with pytest.raises(ModelError, match="beyond the 4"):
        Histories.of([[0, 4]]).check(4)


def test_parts_about_different_users_are_refused() -> None:
    with pytest.raises(ModelError, match="notes"):
        UserBatch(Histories.of([[0], [1]]), notes=OwnContent.of([np.zeros((1, 2), np.float32)]))
    with pytest.raises(ModelError, match="adapter"):
        UserBatch(Histories.of([[0], [1]]), adapter=np.zeros((3, 2), np.float32))
    with pytest.raises(ModelError, match="times"):
        UserBatch(Histories.of([[0, 2], [1]]), times=np.zeros(2, np.int64))


def test_taking_users_takes_everything_of_theirs() -> None:
    whole = batch()
    some = whole.take(np.array([2, 0]))
    assert lists_of(some.histories) == [[5], [4, 2, 7]]
    assert some.sampling_keys.tolist() == [whole.sampling_keys[2], whole.sampling_keys[0]]
    assert some.targets.tolist() == [3, 1]
    assert some.times is not None and some.times.tolist() == [40, 10, 20, 30]
    assert some.notes is not None and some.notes.values[:, 0].tolist() == [2, 2, 1]
    assert some.photos is not None and some.photos.values[:, 0].tolist() == [1]
    assert some.adapter is not None and some.adapter.tolist() == [[4, 5], [0, 1]]
    assert some.context is not None and some.context[:, 0].tolist() == [8, 0]


def test_what_is_not_known_stays_unknown() -> None:
    bare = UserBatch(Histories.of([[1], []])).take(np.array([1]))
    assert (bare.keys, bare.held_out, bare.notes, bare.photos, bare.times, bare.adapter, bare.context) == (None,) * 7
    assert bare.targets.tolist() == [-1]
    with pytest.raises(ModelError, match="without keys"):
        _ = bare.sampling_keys


def test_ratings_are_found_by_user_and_item() -> None:
    rated = RatedItems(Histories.of([[3, 1], [], [1]]), np.array([5.0, 2.0, 4.0], np.float32))
    histories = Histories.of([[1, 2, 3], [1], [3, 1]])
    found = rated.of(histories)
    assert np.array_equal(found, [2.0, np.nan, 5.0, np.nan, np.nan, 4.0], equal_nan=True)
    taken = rated.take(np.array([2, 0]))
    assert (taken.items.items.tolist(), taken.values.tolist()) == ([1, 3, 1], [4.0, 5.0, 2.0])
    assert len(rated.longer(2)) == 5 and rated.longer(2).items[4].tolist() == []
    nobody = RatedItems(Histories.of([[], []]), np.zeros(0, np.float32))
    assert np.isnan(nobody.of(Histories.of([[1], []]))).all()


def test_ratings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="another number of ratings"):
        RatedItems(Histories.of([[0]]), np.zeros(2, np.float32))
    rated = RatedItems(Histories.of([[0]]), np.zeros(1, np.float32))
    with pytest.raises(ModelError, match="another number"):
        UserBatch(Histories.of([[0], [1]]), rated=rated)
