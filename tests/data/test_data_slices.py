"""Slices of a population: every user is in one of them, they are of a size, and a store holds its slice's users."""

from __future__ import annotations

from pathlib import Path

import federation_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.data.store import EventStore
from fedrec.data.stores import slices_of, write_stores
from fedrec.errors import StoreError
from fedrec.simulation.study import Study


@given(st.integers(1, 5000).flatmap(lambda users: st.tuples(st.just(users), st.integers(1, users))))
def test_every_user_is_in_one_slice_and_slices_are_of_a_size(drawn: tuple[int, int]) -> None:
    users, slices = drawn
    found = slices_of(users, slices)
    assert [user for one in found for user in one] == list(range(users))
    assert len(found) == slices
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_without_slices_every_user_has_a_store() -> None:
    assert slices_of(3) == [range(1), range(1, 2), range(2, 3)]


def test_no_slice_is_empty() -> None:
    with pytest.raises(StoreError):
        slices_of(3, 4)


def test_a_store_holds_the_users_of_its_slice(federation_study: Study, tmp_path: Path) -> None:
    paths = write_stores(federation_study.dataset, federation_study.split, tmp_path / "sliced", slices=5)
    alone = write_stores(federation_study.dataset, federation_study.split, tmp_path / "alone")
    assert len(paths) == 5
    for path, part in zip(paths, slices_of(cases.USERS, 5), strict=True):
        with EventStore.open(path) as store:
            assert store.users() == [federation_study.dataset.users[user] for user in part]
            for user in part:
                name = federation_study.dataset.users[user]
                with EventStore.open(alone[user]) as one:
                    assert store.events(name) == one.events(name)
                    assert store.held_out(name) == one.held_out(name)
