"""A population in one Parquet file: reading by cohorts equals reading it all, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedrec.data.population_file import PopulationFile
from fedrec.data.user_rows import UserRows, joined
from fedrec.errors import DataError
from tests.data.population_cases import ITEMS, rows_of, write_groups, write_users


def same(one: UserRows, other: UserRows) -> None:
    assert list(one.names) == list(other.names)
    for name in ("indptr", "items", "times", "ratings", "valid", "test", "negatives"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert (mine is None) == (theirs is None), name
        if mine is not None:
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            assert mine.dtype == theirs.dtype


@given(users=st.integers(1, 25), seed=st.integers(0, 99), group=st.integers(1, 9), data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_streaming_by_cohort_equals_all_in_memory(
    users: int, seed: int, group: int, data: st.DataObject, tmp_path: Path
) -> None:
    rows = rows_of(users, seed)
    file = PopulationFile(write_groups(tmp_path, rows, group), ITEMS)
    assert len(file) == users
    same(joined(list(file)), rows)
    cohort = np.array(data.draw(st.lists(st.integers(0, users - 1), max_size=12)), dtype=np.int64)
    same(file.take(cohort), rows.take(cohort))


def test_a_cohort_reads_only_the_groups_that_it_is_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = PopulationFile(write_groups(tmp_path, rows_of(20, 1), 5), ITEMS)
    read: list[int] = []
    group = PopulationFile.group
    monkeypatch.setattr(PopulationFile, "group", lambda self, place: read.append(place) or group(self, place))
    file.take(np.array([19, 6, 5, 7]))
    assert read == [1, 3]


def test_what_is_not_there_is_minus_one_or_nan(tmp_path: Path) -> None:
    rows = PopulationFile(write_users(tmp_path), ITEMS).group(0)
    assert rows.times is not None and rows.valid is not None and rows.negatives is not None
    assert rows.times.tolist() == [10, 20, 30, 5, -1, 7]
    assert rows.valid.tolist() == [1, -1, -1]
    assert rows.negatives.tolist() == [[6, 7], [8, -1], [6, 7]]
    assert rows.ratings is None
    assert rows.histories[2].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"user": None}, "population.parquet: no column user"),
        ({"items": None}, "population.parquet: no column items"),
        ({"user": [1, 2, 3]}, "column user is of another type"),
        ({"items": [["x"], ["y"], []]}, "column items is of another type"),
        ({"items": [0, 1, 2]}, "column items is of another type"),
        ({"times": [["1"], ["2"], ["3"]]}, "column times is of another type"),
        ({"valid": ["1", None, None]}, "column valid is of another type"),
        ({"user": ["a", "", "c"]}, "population.parquet:2: user: an empty cell"),
        ({"user": ["a", "b", None]}, "population.parquet:3: user: an empty cell"),
        ({"items": [[0, 1, 2], None, [4, 5]]}, "population.parquet:2: items: no list"),
        ({"items": [[0, 1, 2], [3], [4, ITEMS]]}, "population.parquet:3: items: no such item"),
        ({"items": [[0, 1, 2], [-1], [4, 5]]}, "population.parquet:2: items: no such item"),
        ({"items": [[0, None, 2], [3], [4, 5]]}, "population.parquet:1: items: a value is missing"),
        ({"times": [[1, 2, 3], [4], [5]]}, "population.parquet:3: another number of times than of items"),
        ({"times": [[1, 2, 3], [4], [6, 5]]}, "population.parquet:3: times: not in order"),
        ({"times": [[1, 2, 3], [10**12], [5, 6]]}, "population.parquet:2: times: no seconds"),
        ({"ratings": [[1.0, 2.0, 3.0], [np.inf], [1.0, 1.0]]}, "population.parquet:2: ratings: not a finite number"),
        ({"test": pa.array([2, 3, ITEMS], pa.int32())}, "population.parquet:3: test: no such item"),
        ({"test": pa.array([1, 3, 5], pa.int32())}, "population.parquet:1: valid and test are the same item"),
        ({"negatives": [[6], [8], [5]]}, "population.parquet:3: negatives: the test item is among them"),
        ({"items": pa.array([[0, 1, 2], [2**63], [4, 5]], pa.list_(pa.uint64()))}, "items: Integer value"),
    ],
)
def test_what_is_wrong_is_an_error_that_names_file_and_row(columns: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = write_users(tmp_path, **columns)
    with pytest.raises(DataError) as error:
        PopulationFile(path, ITEMS).group(0)
    assert words in str(error.value)


@pytest.mark.parametrize("kept", [0, 3, 0.5, 0.98])
def test_a_cut_or_damaged_file_is_an_error_that_names_it(kept: float, tmp_path: Path) -> None:
    path = write_groups(tmp_path, rows_of(50, 3), 50)
    data = path.read_bytes()
    path.write_bytes(data[: int(kept if kept >= 1 or not kept else kept * len(data))])
    with pytest.raises(DataError, match=r"population\.parquet: no readable Parquet file"):
        PopulationFile(path, ITEMS)


def test_damage_between_the_ends_is_found_when_it_is_read(tmp_path: Path) -> None:
    path = write_groups(tmp_path, rows_of(50, 3), 50)
    data = bytearray(path.read_bytes())
    data[8:60] = bytes(52)
    path.write_bytes(data)
    file = PopulationFile(path, ITEMS)
    with pytest.raises(DataError, match=r"population\.parquet"):
        file.group(0)
