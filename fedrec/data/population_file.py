"""A population in one Parquet file: a row a user, with all that the user did as lists; read by row groups or cohorts.

``population.parquet`` has the columns ``user`` (text), ``items`` (list of places in ``items.parquet``, counted from 0,
in the order of time), and where there are any ``times`` (list of seconds since 1970, UTC; null: unknown), ``ratings``
(list of numbers; null: none), ``valid`` and ``test`` (the place of the held-out item; null: none) and ``negatives``
(list of places to rank the test item against). Other columns are not read. A program writes such a file, so nothing in
it is left out: the first thing that is wrong is an error that names the row, counted from 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fedrec.data.arrow_columns import ArrowColumns, ArrowTexts, open_parquet
from fedrec.data.interactions_table import MAX_TIMESTAMP
from fedrec.errors import DataError
from fedrec.extras import need
from fedrec.users import Histories, pointers_of

FILE: Final = "population.parquet"
GROUP: Final = 16_384
"""Users of a row group as they are written: some megabytes, and a cohort of few users reads few groups."""
_LISTS: Final = ("items", "times", "ratings", "negatives")
_OPTIONAL: Final = ("times", "ratings", "valid", "test", "negatives")


@dataclass(frozen=True, eq=False)
class UserRows:
    """Some users as columns. User u did ``items[indptr[u]:indptr[u + 1]]``, in the order of time.

    ``names``: ids, text. ``indptr``: int64 [users + 1]. ``items``: int32 [n]. ``times``: int64 [n], -1 where unknown.
    ``ratings``: float32 [n], NaN where none. ``valid``, ``test``: int32 [users], -1 where none. ``negatives``: int32
    [users, longest], rows padded with -1. None: the file has no such column.
    """

    names: Sequence[str]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64] | None = None
    ratings: NDArray[np.float32] | None = None
    valid: NDArray[np.int32] | None = None
    test: NDArray[np.int32] | None = None
    negatives: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def histories(self) -> Histories:
        """The items of each user."""
        return Histories(self.indptr, self.items)

    def take(self, places: NDArray[np.integer]) -> UserRows:
        """The same about some users, in the order given."""
        lengths = np.diff(self.indptr)[places]
        indptr = pointers_of(lengths)
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][places] - indptr[:-1], lengths)
        return UserRows(
            names=[self.names[int(place)] for place in places],
            indptr=indptr,
            items=self.items[at],
            times=None if self.times is None else self.times[at],
            ratings=None if self.ratings is None else self.ratings[at],
            valid=None if self.valid is None else self.valid[places],
            test=None if self.test is None else self.test[places],
            negatives=None if self.negatives is None else self.negatives[places],
        )


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
                        self._columns.fail(first + int(own.any(axis=1).argmax()), f"negatives: the {name} item is among them")


class PopulationWriter:
    """Writes ``population.parquet`` of a directory, some users at a time; a context manager.

    Args:
        directory: where it goes.
        items: how many items the catalogue has.
        also: further columns of text, which fedrec does not read.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, directory: Path, *, items: int, also: Sequence[str] = ()) -> None:
        self._arrow: Any = need("pyarrow", "data", what=f"writing {FILE}")
        self._parquet: Any = need("pyarrow.parquet", "data", what=f"writing {FILE}")
        self._path = directory / FILE
        self._also = tuple(also)
        self._waiting: list[Any] = []
        self._writer: Any = None
        self.items = items

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def write(self, rows: UserRows, also: Mapping[str, Sequence[str]] | None = None) -> None:
        """Add users. All calls give the same columns. ``also``: name -> one text a user."""
        self._waiting.append(self._table(rows, also or {}))
        if sum(table.num_rows for table in self._waiting) >= GROUP:
            self._flush()

    def _table(self, rows: UserRows, also: Mapping[str, Sequence[str]]) -> Any:
        arrow = self._arrow
        columns = {"user": arrow.array(list(rows.names), arrow.string())}
        columns |= {name: arrow.array(list(also[name]), arrow.string()) for name in self._also}
        columns["items"] = self._list(rows.indptr, rows.items, arrow.int32())
        if rows.times is not None:
            columns["times"] = self._list(rows.indptr, rows.times, arrow.int64(), rows.times < 0)
        if rows.ratings is not None:
            columns["ratings"] = self._list(rows.indptr, rows.ratings, arrow.float32(), np.isnan(rows.ratings))
        for name, held in (("valid", rows.valid), ("test", rows.test)):
            if held is not None:
                columns[name] = arrow.array(held, arrow.int32(), mask=held < 0)
        if rows.negatives is not None:
            there = rows.negatives >= 0
            columns["negatives"] = self._list(
                pointers_of(there.sum(axis=1)), rows.negatives[there], arrow.int32()
            )
        return arrow.table(columns)

    def _list(self, indptr: NDArray[np.int64], values: NDArray[Any], kind: Any, null: Any = None) -> Any:
        arrow = self._arrow
        inner = arrow.array(values, kind, mask=None if null is None or not null.any() else null)
        return arrow.ListArray.from_arrays(arrow.array(indptr.astype(np.int32)), inner)

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = self._arrow.concat_tables(self._waiting)
        self._waiting = []
        if self._writer is None:
            # Sorted or rising numbers are told by their differences; text that repeats, by a dictionary.
            encodings = {f"{name}.list.element": "DELTA_BINARY_PACKED" for name in ("items", "times", "negatives")}
            present = {name: kind for name, kind in encodings.items() if name.split(".")[0] in table.column_names}
            self._writer = self._parquet.ParquetWriter(
                self._path,
                table.schema,
                compression="zstd",
                use_dictionary=list(self._also),
                column_encoding=present,
            )
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))


def joined(parts: Sequence[UserRows]) -> UserRows:
    """The users of several parts, one after the other; at least one part, all with the same columns."""
    names = [name for part in parts for name in part.names]
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    columns: dict[str, Any] = {
        name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
        for name in ("items", "times", "ratings", "valid", "test")
    }
    negatives = [part.negatives for part in parts if part.negatives is not None]
    return UserRows(names, pointers_of(lengths), **columns, negatives=stacked(negatives) if negatives else None)


def stacked(tables: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Padded tables [users, any width] one below the other, filled up with -1."""
    width = max(table.shape[1] for table in tables)
    out = np.full((sum(map(len, tables)), width), -1, dtype=np.int32)
    start = 0
    for table in tables:
        out[start : start + len(table), : table.shape[1]] = table
        start += len(table)
    return out
