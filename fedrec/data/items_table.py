"""The catalogue of a data directory: ``items.csv``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedrec.data.column_names import taken
from fedrec.data.schema import ColumnTaken, ItemRecord, Skipped
from fedrec.data.tables import CSV, Table, TextTable
from fedrec.data.tally import Tally, cut
from fedrec.errors import DataError

# Bookkeeping columns (where a text came from, how often an item was bought, ...) must never become model input by
# accident, so columns become attributes and numbers only by these names and prefixes.
ATTRIBUTES = ("genres", "category", "brand", "colour", "color", "material", "style", "tags")
ATTRIBUTE_PREFIX = "attr_"
NUMBERS = ("price",)
NUMBER_PREFIX = "num_"


@dataclass(frozen=True)
class ItemColumns:
    """Which columns of an item table are what: numbers as (field name, place), attributes as (field name, place,
    separators): values are separated by the first of these that a cell has; without any, a cell is one value."""

    id: int
    title: int | None
    text: int | None
    attributes: tuple[tuple[str, int, tuple[str, ...]], ...]
    numbers: tuple[tuple[str, int], ...]


def read_items_csv(path: Path, skipped: list[Skipped]) -> tuple[ItemRecord, ...]:
    """The items of ``items.csv`` in the order of the file.

    Columns: ``item`` and ``title`` are required; ``text`` is optional; the columns of `ATTRIBUTES` and those that start
    with ``attr_`` hold ``|``-separated values; ``price`` and those that start with ``num_`` hold numbers; a field is
    called by its column without the prefix. All other columns are ignored.

    Left out and recorded: rows without an id, rows whose id came before, unreadable numbers, text beyond 1 MB.
    Raises DataError for a wrong structure or when more than half of the rows are lost.
    """
    table = Table(path, CSV)
    table.require("item", "title")
    return read_items(table, columns_of(path, table.header), Tally(path, skipped))


def read_items(table: TextTable, columns: ItemColumns, tally: Tally) -> tuple[ItemRecord, ...]:
    """The items of a table, in the order of the file. Losses and errors as in `read_items_csv`."""
    records: dict[str, ItemRecord] = {}
    for chunk in table.chunks(tally):
        rows = zip(*chunk.columns, strict=True)
        for line, row in zip(chunk.lines.tolist(), rows, strict=True):
            id_ = row[columns.id]
            if not id_:
                tally.lose(line, "missing cell")
            elif id_ in records:
                tally.lose(line, "duplicate item")
            else:
                records[id_] = _record(id_, row, columns, line, tally)
    if not tally.rows:
        raise DataError("a header and no rows", path=table.path, line=1, action="Add at least one item")
    tally.finish()
    return tuple(records.values())


def items_taken(file: str, header: Sequence[str], columns: ItemColumns) -> list[ColumnTaken]:
    """What each column of an item table was taken for."""
    places = {"item": columns.id, "title": columns.title, "text": columns.text}
    parts = {place: part for part, place in places.items() if place is not None}
    parts |= {place: f"attribute {name}" for name, place, _ in columns.attributes}
    return taken(file, header, parts | {place: f"number {name}" for name, place in columns.numbers})


def columns_of(path: Path, header: Sequence[str]) -> ItemColumns:
    """Which column of ``items.csv`` or ``items.parquet`` is what, see `read_items_csv`.

    Raises:
        DataError: two columns give the same field.
    """
    attributes = tuple((name, place, ("|",)) for name, place in _fields(path, header, ATTRIBUTES, ATTRIBUTE_PREFIX))
    return ItemColumns(
        id=header.index("item"),
        title=header.index("title") if "title" in header else None,
        text=header.index("text") if "text" in header else None,
        attributes=attributes,
        numbers=_fields(path, header, NUMBERS, NUMBER_PREFIX),
    )


def _fields(path: Path, header: Sequence[str], names: Sequence[str], prefix: str) -> tuple[tuple[str, int], ...]:
    fields: dict[str, int] = {}
    for place, column in enumerate(header):
        name = column.removeprefix(prefix)
        if not name or (column not in names and name == column):
            continue
        if name in fields:
            raise DataError("two columns give the same field", path=path, line=1, value=name)
        fields[name] = place
    return tuple(fields.items())


def _record(id_: str, row: Sequence[str], columns: ItemColumns, line: int, tally: Tally) -> ItemRecord:
    return ItemRecord(
        id=id_,
        title="" if columns.title is None else cut(row[columns.title], tally, line, "title"),
        text="" if columns.text is None else cut(row[columns.text], tally, line, "text"),
        attributes=_attributes(row, columns, line, tally),
        numbers=_numbers(row, columns, line, tally),
    )


def _attributes(row: Sequence[str], columns: ItemColumns, line: int, tally: Tally) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, place, separators in columns.attributes:
        cell = cut(row[place], tally, line, name)
        separator = next((mark for mark in separators if mark in cell), None)
        cells = [cell] if separator is None else cell.split(separator)
        values = dict.fromkeys(value.strip() for value in cells)
        values.pop("", None)
        if values:
            found[name] = tuple(values)
    return found


def _numbers(row: Sequence[str], columns: ItemColumns, line: int, tally: Tally) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, place in columns.numbers:
        if not row[place]:
            continue
        try:
            value = float(row[place])
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            found[name] = value
        else:
            tally.trim(line, f"{name} is not a finite number, left out")
    return found
