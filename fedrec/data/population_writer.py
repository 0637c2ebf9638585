"""Writing ``population.parquet``, some users at a time; what is in it says `fedrec.data.population_file`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from fedrec.data.population_file import FILE
from fedrec.data.user_rows import UserRows
from fedrec.extras import need
from fedrec.users import pointers_of

GROUP: Final = 16_384
"""Users of a row group as they are written: some megabytes, and a cohort of few users reads few groups."""


class PopulationWriter:
    """Writes ``population.parquet`` of a directory, some users at a time; a context manager.

    Args:
        directory: where it goes.
        items: how many items the catalogue has.
        also: further columns of text, which fedrec does not read.
        group: users of a row group.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(self, directory: Path, *, items: int, also: Sequence[str] = (), group: int = GROUP) -> None:
        self._arrow: Any = need("pyarrow", "data", what=f"writing {FILE}")
        self._parquet: Any = need("pyarrow.parquet", "data", what=f"writing {FILE}")
        self._path = directory / FILE
        self._also = tuple(also)
        self._waiting: list[Any] = []
        self._writer: Any = None
        self.items = items
        self._group = group

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
        if sum(table.num_rows for table in self._waiting) >= self._group:
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
            columns["negatives"] = self._list(pointers_of(there.sum(axis=1)), rows.negatives[there], arrow.int32())
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
