"""Rows: what may be learned from, and what must never be looked at."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_worlds import ITEMS, small_features, small_population

from fedrec.randomness import key
from fedrec.training.build_rows import RowShape, _by_owner, _touched, build_rows
from fedrec.training.examples import by_example
from fedrec.training.tables import Tables
from fedrec.users import Histories, UserBatch, keys_of

TABLES = Tables(small_features())
POOL = np.arange(ITEMS, dtype=np.int32)


def population_of(histories: list[list[int]]) -> UserBatch:
    return UserBatch(Histories.of(histories), keys=keys_of([str(user) for user in range(len(histories))]))


histories = st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=30), min_size=1, max_size=6)


def find(batch_values: np.ndarray, row: int, mask: np.ndarray) -> list[int]:
    """The catalogue places of the masked items of a row, by their text features."""
    table = TABLES.table.values["text"].numpy()
    return [int(np.flatnonzero((table == vector).all(1))[0]) for vector in batch_values[row][mask[row]]]


@settings(max_examples=40, deadline=None)
@given(histories, st.integers(1, 9), st.integers(1, 9))
def test_positives_and_history_are_disjoint_parts_of_training(
    lists: list[list[int]], positives: int, kept: int
) -> None:
    people = population_of(lists)
    shape = RowShape(positives, kept)
    seen = 0
    for rows in build_rows(people, TABLES, POOL, shape, key=key(3, "r"), batch_rows=4):
        for row in range(rows.rows):
            while not lists[seen]:
                seen += 1
            trained = set(lists[seen])
            past = find(rows.history.values["text"].numpy(), row, rows.history.mask.numpy())
            real = rows.candidate_mask.numpy().copy()
            against = real.copy()
            real[:, rows.positives :], against[:, : rows.positives] = False, False
            learned = find(rows.candidates.values["text"].numpy(), row, real)
            negatives = find(rows.candidates.values["text"].numpy(), row, against)
            assert len(learned) == min(positives, max(1, len(trained) // 2))
            assert set(learned) <= trained
            assert set(past) <= trained
            assert not set(learned) & set(past)
            assert past == [item for item in lists[seen] if item in past], "a history is in time order"
            # A negative is spared for being in training, and for no other reason.
            assert set(negatives) == set(POOL.tolist()) - trained
            seen += 1


@settings(max_examples=30, deadline=None)
@given(histories, st.integers(1, 8))
def test_by_example_keeps_every_interaction_in_exactly_one_row(lists: list[list[int]], groups: int) -> None:
    people = population_of(lists)
    split = by_example(people, groups, key(0, "g"))
    assert len(split) == len(people) * groups
    for user, history in enumerate(lists):
        rows = [split.histories[user * groups + group].tolist() for group in range(groups)]
        assert sorted(item for row in rows for item in row) == sorted(history)


@settings(max_examples=30, deadline=None)
@given(histories.filter(lambda lists: any(lists)), st.integers(1, 8), st.data())
def test_taking_an_interaction_away_leaves_all_other_rows_as_they_are(
    lists: list[list[int]], groups: int, data: st.DataObject
) -> None:
    user = data.draw(st.sampled_from([place for place, history in enumerate(lists) if history]))
    gone = data.draw(st.sampled_from(lists[user]))
    fewer = [[item for item in history if (place, item) != (user, gone)] for place, history in enumerate(lists)]
    before = by_example(population_of(lists), groups, key(0, "g"))
    after = by_example(population_of(fewer), groups, key(0, "g"))
    changed = [row for row in range(len(before)) if before.histories[row].tolist() != after.histories[row].tolist()]
    assert len(changed) == 1


def test_take_keeps_users_with_their_own() -> None:
    people = small_population()
    chosen = people.take(np.array([7, 3, 0]))
    assert chosen.histories[0].tolist() == people.histories[7].tolist()
    assert chosen.histories[2].tolist() == []
    assert people.notes is not None
    assert chosen.notes is not None
    np.testing.assert_array_equal(
        chosen.notes.values[chosen.notes.indptr[0] : chosen.notes.indptr[1]],
        people.notes.values[people.notes.indptr[7] : people.notes.indptr[8]],
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2**64 - 1)), max_size=40), st.booleans())
def test_events_are_ordered_as_two_keys_would(events: list[tuple[int, int]], alike: bool) -> None:
    events.sort(key=lambda event: event[0])
    owners = np.array([owner for owner, _ in events], np.int64)
    drawn = np.array([low % 4 if alike else low for _, low in events], np.uint64)
    np.testing.assert_array_equal(_by_owner(owners, drawn), np.lexsort((drawn, owners)))


@settings(max_examples=60, deadline=None)
@given(histories, st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=20))
def test_negatives_that_a_user_has_are_found_also_where_the_pool_has_an_item_twice(
    events: list[list[int]], pool: list[int]
) -> None:
    found = _touched(population_of(events), np.array(pool, np.int32))
    np.testing.assert_array_equal(found, [[item in one for item in pool] for one in events])


def test_rows_do_not_depend_on_how_many_batches_are_ordered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    people = small_population(users=12, own=False)
    made = {}
    for at_once in (1, 128):
        monkeypatch.setattr("fedrec.training.build_rows._ORDERED_BATCHES", at_once)
        made[at_once] = list(build_rows(people, TABLES, POOL, RowShape(3, 7), key=key(0, "rows"), batch_rows=2))
    assert len(made[1]) == len(made[128]) > 3
    for one, other in zip(made[1], made[128], strict=True):
        assert one.tensors().keys() == other.tensors().keys()
        assert all(bool((value == other.tensors()[name]).all()) for name, value in one.tensors().items())
