"""A catalogue in ``items.parquet``, read block by block: records are made when they are asked for, and not kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, overload

from fedrec.data.arrow_columns import ArrowColumns, ArrowTexts, open_parquet
from fedrec.data.items_table import ItemColumns, columns_of
from fedrec.data.schema import ItemRecord
from fedrec.data.tally import MAX_TEXT_BYTES
from fedrec.errors import DataError
from fedrec.extras import need

FILE: Final = "items.parquet"
_TEXTS: Final = ("text", "list of texts")
_NUMBERS: Final = ("number", "whole number")
_LATEST: Final = 4
_Values = tuple[str, ...]


class ParquetItems(Sequence[ItemRecord]):
    """The items of ``items.parquet`` in the order of the file.

    Columns as in ``items.csv`` (`fedrec.data.items_table.read_items_csv`); attributes are text with ``|`` between
    values, or lists of text, and numbers are numbers. A program writes such a file, so nothing in it is left out: an
    item without an id, an id that comes twice or a text over 1 MB is an error that names the row, counted from 1.

    Args:
        path: the file.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: it is no Parquet file, a column is missing or of another type, or a row is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_parquet(path)
        self._columns = ArrowColumns(path, self._file.schema_arrow)
        self.header: tuple[str, ...] = tuple(self._columns.schema.names)
        self._columns.require("item", "text")
        self._columns.require("title", "text")
        self.columns: ItemColumns = columns_of(path, self.header)
        self._read = [name for name in self.header if self._kinds_fit(name)]
        table = self._columns.read(lambda: self._file.read(columns=["item"]))
        self.ids: ArrowTexts = self._columns.texts(table, "item", 0)
        if not len(self.ids):
            raise DataError("a file without rows", path=path, action="Add at least one item")
        self._check_ids()
        groups = (self._file.metadata.row_group(place).num_rows for place in range(self._file.num_row_groups))
        self._starts = [0]
        for rows in groups:
            self._starts.append(self._starts[-1] + rows)
        self._kept: dict[int, list[ItemRecord]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> ItemRecord: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[ItemRecord, ...]: ...
    def __getitem__(self, place: int | slice) -> ItemRecord | tuple[ItemRecord, ...]:
        if isinstance(place, slice):
            return tuple(self[at] for at in range(*place.indices(len(self))))
        at = place + len(self) if place < 0 else place
        if not 0 <= at < len(self):
            raise IndexError(place)
        group = next(number for number, start in enumerate(self._starts[1:]) if at < start)
        if group not in self._kept:
            if len(self._kept) >= _LATEST:
                del self._kept[next(iter(self._kept))]
            self._kept[group] = list(self._group(group))
        return self._kept[group][at - self._starts[group]]

    def __iter__(self) -> Iterator[ItemRecord]:
        for group in range(len(self._starts) - 1):
            yield from self._group(group)

    def _group(self, group: int) -> Iterator[ItemRecord]:
        table = self._columns.read(lambda: self._file.read_row_group(group, columns=self._read))
        first = self._starts[group]
        cells = {name: self._texts_of(table, name, first) for name in ("item", "title", "text") if name in self._read}
        texts = cells.get("text") or [""] * table.num_rows
        attributes = [(name, self._values_of(table, self.header[place])) for name, place, _ in self.columns.attributes]
        figures = [(name, table.column(self.header[place]).to_pylist()) for name, place in self.columns.numbers]
        for row, (id_, title, text) in enumerate(zip(cells["item"], cells["title"], texts, strict=True)):
            yield ItemRecord(
                id=id_,
                title=title,
                text=text,
                attributes={name: values for name, column in attributes if (values := column[row])},
                numbers={name: float(value) for name, column in figures if _is_number(value := column[row])},
            )

    def _texts_of(self, table: Any, name: str, first: int) -> list[str]:
        column = table.column(name)
        lengths = need("pyarrow.compute", "data").binary_length(column).fill_null(0)
        long = lengths.to_numpy() > MAX_TEXT_BYTES
        if long.any():
            self._columns.fail(first + int(long.argmax()), f"{name}: over {MAX_TEXT_BYTES // 1_000_000} MB")
        return [cell or "" for cell in column.to_pylist()]

    def _values_of(self, table: Any, name: str) -> list[_Values]:
        """Each item's values of an attribute; equal cells share one tuple."""
        column = table.column(name)
        if self._columns.kind(name) == "list of texts":
            return [_distinct(cell or ()) for cell in column.to_pylist()]
        known: dict[str | None, _Values] = {None: ()}
        split: Callable[[str], _Values] = lambda cell: known.setdefault(cell, _distinct(cell.split("|")))  # noqa: E731
        return [known[cell] if cell in known else split(cell) for cell in column.to_pylist()]

    def _kinds_fit(self, name: str) -> bool:
        """Whether a column is one that is read. Raises DataError where it is of a type that it cannot be of."""
        place = self.header.index(name)
        if place in (self.columns.id, self.columns.title, self.columns.text):
            self._columns.require(name, "text")
            return True
        for places, kinds in (
            ([at for _, at, _ in self.columns.attributes], _TEXTS),
            ([at for _, at in self.columns.numbers], _NUMBERS),
        ):
            if place in places:
                if self._columns.kind(name) not in kinds:
                    raise DataError(
                        f"column {name} is of another type",
                        path=self.path,
                        value=self._columns.kind(name),
                        action=f"It must be: {' or '.join(kinds)}",
                    )
                return True
        return False

    def _check_ids(self) -> None:
        if len(self.ids.column.unique()) == len(self.ids):
            return
        seen: set[str] = set()
        for row, id_ in enumerate(self.ids):
            if id_ in seen:
                self._columns.fail(row, "an item that came before", id_)
            seen.add(id_)


def _is_number(value: float | int | None) -> bool:
    return value is not None and math.isfinite(value)


def _distinct(cells: Sequence[str]) -> _Values:
    return tuple(value for value in dict.fromkeys(cell.strip() for cell in cells) if value)
