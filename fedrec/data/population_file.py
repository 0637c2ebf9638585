"""A population in one Parquet file: a row a user, with all that the user did as lists; read by row groups or cohorts.

``population.parquet`` has the columns ``user`` (text), ``items`` (list of places in ``items.parquet``, counted from 0,
in the order of time), and where there are any ``times`` (list of seconds since 1970, UTC; null: unknown), ``ratings``
(list of numbers; null: none), ``valid`` and ``test`` (the place of the held-out item; null: none) and ``negatives``
(list of places to rank the test item against). Other columns are not read. A program writes such a file, so nothing in
it is left out: the first thing that is wrong is an error that names the row, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.data.arrow_columns import ArrowColumns, ArrowTexts, open_parquet
from fedrec.data.interactions_table import MAX_TIMESTAMP
from fedrec.data.user_rows import UserRows, joined
from fedrec.errors import DataError
from fedrec.users import pointers_of

FILE: Final = "population.parquet"
_LISTS: Final = ("items", "times", "ratings", "negatives")
_OPTIONAL: Final = ("times", "ratings", "valid", "test", "negatives")


class PopulationFile:
    """The users in ``population.parquet`` of a directory. Opening reads its footer only.

    Args:
        path: the file.
        items: how many items the catalogue has.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: it is no Parquet file, a column is missing or of another type, or it holds no user.
    """

    def __init__(self, path: Path, items: int) -> None:
        self.path = path
        self.items = items
        self._file = open_parquet(path)
        self._columns = ArrowColumns(path, self._file.schema_arrow)
        self._columns.require("user", "text")
        self._columns.require("items", "list of whole numbers")
        self._present = [name for name in _OPTIONAL if self._columns.has(name)]
        for name in self._present:
            kind = "list of numbers" if name == "ratings" else "list of whole numbers"
            self._columns.require(name, kind if name in _LISTS else "whole number")
        self.header: tuple[str, ...] = tuple(self._columns.schema.names)
        groups = [self._file.metadata.row_group(place).num_rows for place in range(self._file.num_row_groups)]
        self.starts = pointers_of(groups)
        if not len(self):
            raise DataError("a file without rows", path=path, action="Add at least one user")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __iter__(self) -> Iterator[UserRows]:
        """All users, a row group at a time. Raises DataError at the first row that is wrong."""
        return (self.group(place) for place in range(len(self.starts) - 1))

    def take(self, users: NDArray[np.integer]) -> UserRows:
        """Some users by place, in the order given; reads the row groups that they are in, one after the other.

        A cohort drawn at random has users in most groups, and reads as much as a pass over the file.
        """
        wanted = np.asarray(users, dtype=np.int64)
        group = np.searchsorted(self.starts, wanted, side="right") - 1
        parts, order = [], []
        for place in np.unique(group):
            mine = np.flatnonzero(group == place)
            parts.append(self.group(int(place)).take(wanted[mine] - self.starts[place]))
            order.append(mine)
        back = np.argsort(np.concatenate([np.zeros(0, dtype=np.int64), *order]))
        return joined(parts).take(back) if parts else self.group(0).take(wanted)

    def group(self, place: int) -> UserRows:
        """The users of one row group. Raises DataError at the first row that is wrong."""
        names = ["user", "items", *self._present]
        table = self._columns.read(lambda: self._file.read_row_group(place, columns=names))
        first = int(self.starts[place])
        users = self._columns.texts(table, "user", first)
        indptr, items = self._lists(table, "items", first)
        rows = UserRows(
            users,
            indptr,
            items,
            times=self._events(table, "times", first, indptr) if "times" in self._present else None,
            ratings=self._events(table, "ratings", first, indptr) if "ratings" in self._present else None,
            valid=self._places(table, "valid", first) if "valid" in self._present else None,
            test=self._places(table, "test", first) if "test" in self._present else None,
            negatives=self._padded(table, first) if "negatives" in self._present else None,
        )
        self._check(rows, first)
        return rows

    def check_names(self, users: ArrowTexts) -> None:
        """Raise DataError where two rows, of all that the file has, name one user."""
        if len(users.column.unique()) == len(users):
            return
        seen: set[str] = set()
        for row, user in enumerate(users):
            if user in seen:
                self._columns.fail(row, "a user that came before", user)
            seen.add(user)

    def _lists(self, table: Any, name: str, first: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """A column of lists of places: pointers and places."""
        indptr, values = self._columns.lists(table, name, first, np.int64)
        self._columns.check(first, indptr, (values < 0) | (values >= self.items), values, f"{name}: no such item")
        return indptr, values.astype(np.int32)

    def _places(self, table: Any, name: str, first: int) -> NDArray[np.int32]:
        values = self._columns.numbers(table, name, np.int64, null=-1)
        rows = np.arange(len(values) + 1)
        self._columns.check(first, rows, (values < -1) | (values >= self.items), values, f"{name}: no such item")
        return values.astype(np.int32)

    def _events(self, table: Any, name: str, first: int, indptr: NDArray[np.int64]) -> NDArray[Any]:
        """Times or ratings: as many as there are items."""
        kind: Any = np.int64 if name == "times" else np.float32
        pointers, values = self._columns.lists(table, name, first, kind, null=-1 if name == "times" else np.nan)
        wrong = np.flatnonzero(np.diff(pointers) != np.diff(indptr))
        if len(wrong):
            self._columns.fail(first + int(wrong[0]), f"another number of {name} than of items")
        if name == "times":
            bad = (values < -1) | (values > MAX_TIMESTAMP)
            self._columns.check(first, indptr, bad, values, "times: no seconds from 0 to the year 9999")
        else:
            self._columns.check(first, indptr, np.isinf(values), values, "ratings: not a finite number")
        return values

    def _padded(self, table: Any, first: int) -> NDArray[np.int32]:
        indptr, values = self._lists(table, "negatives", first)
        lengths = np.diff(indptr)
        there = np.arange(int(lengths.max(initial=0))) < lengths[:, None]
        padded = np.full(there.shape, -1, dtype=np.int32)
        padded[there] = values
        return padded

    def _check(self, rows: UserRows, first: int) -> None:
        """Raise DataError where events are not in the order of time, or a held-out item contradicts another."""
        if rows.times is not None and len(rows.times):
            back = np.zeros(len(rows.times), dtype=np.bool_)
            back[1:] = rows.times[1:] < rows.times[:-1]
            back[rows.indptr[:-1][np.diff(rows.indptr) > 0]] = False
            self._columns.check(first, rows.indptr, back, rows.times, "times: not in order")
        if rows.valid is not None and rows.test is not None:
            same = np.flatnonzero((rows.valid == rows.test) & (rows.valid >= 0))
            if len(same):
                self._columns.fail(first + int(same[0]), "valid and test are the same item")
        if rows.negatives is not None:
            for name, held in (("valid", rows.valid), ("test", rows.test)):
                if held is not None:
                    own = (rows.negatives == held[:, None]) & (rows.negatives >= 0)
                    if own.any():
                        self._columns.fail(
                            first + int(own.any(axis=1).argmax()), f"negatives: the {name} item is among them"
                        )
