"""The items of a table whose columns nobody has described: what each column is, by its name and by what is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from fedrec.data.column_names import ITEM_NAMES, find_columns, plain_name, taken
from fedrec.data.column_table import ColumnTable, in_memory
from fedrec.data.frames import BETWEEN_VALUES
from fedrec.data.items_table import (
    ATTRIBUTE_PREFIX,
    ATTRIBUTES,
    NUMBER_PREFIX,
    ItemColumns,
    read_items,
)
from fedrec.data.schema import ColumnTaken, ItemRecord, Skipped
from fedrec.data.tables import TextTable, numbers
from fedrec.data.tally import Tally, cut
from fedrec.errors import DataError

# Fields that usually hold several values, and what they are separated by, the first of these that a cell has.
SEVERAL: Final = (*ATTRIBUTES, "genre", "categories", "tag", "keywords", "topics", "styles", "colours", "colors")
_SEPARATORS: Final = (BETWEEN_VALUES, "|", ";", ",")
# A column with more values than this, and than half the items have, names items instead of sorting them.
_MOST_VALUES: Final = 50
# A column of cells with so many words each, at the median, is read as text.
_WORDS_OF_TEXT: Final = 4
_NAMES_THINGS: Final = ("id", "ids", "url", "urls", "uri", "link", "links", "href", "isbn", "ean", "sku")


@dataclass(frozen=True)
class _Fields:
    """Columns that are no part by name: attributes with their separators, numbers, texts; and what was said of each."""

    attributes: tuple[tuple[str, int, tuple[str, ...]], ...]
    numbers: tuple[tuple[str, int], ...]
    parts: Mapping[int, str]
    notes: Mapping[int, str]
    texts: tuple[int, ...]


def items_of(
    table: TextTable, skipped: list[Skipped], *, given: Mapping[str, str] | None = None, files: Path | None = None
) -> tuple[tuple[ItemRecord, ...], list[ColumnTaken]]:
    """The items of any table, in its order, and what each column was taken for.

    Id, title, text, picture and sound are found by their usual names (`ITEM_NAMES`) or as ``given`` (part -> column).
    Of the other columns, those of numbers become numbers, those that sort items become attributes (values separated by
    ``|``, or in lists; in columns such as genres also by ``;`` or ``,``), those of sentences are added to the text, and
    those that name items (a URL, another id, a word of its own for nearly each item) are ignored.

    Args:
        table: the table.
        skipped: where losses are recorded.
        given: part -> column.
        files: the folder that paths of pictures and sounds are relative to; None: the current one.

    Raises:
        DataError: there is no column for the id, no usable row, or more than half of the rows are lost.
    """
    whole = in_memory(table)
    places = find_columns(table.header, ITEM_NAMES, table.path, given)
    fields = _fields(whole, set(places.values()))
    columns = ItemColumns(places["item"], places.get("title"), places.get("text"), fields.attributes, fields.numbers)
    tally = Tally(table.path, skipped)
    records = read_items(table, columns, tally)
    records = _with_texts(records, whole, places["item"], fields.texts, tally)
    records = _with_files(records, whole, places, files or Path(), tally)
    parts = {place: part for part, place in places.items()} | dict(fields.parts)
    return records, taken(table.path.name, table.header, parts, fields.notes)


def _fields(table: ColumnTable, used: set[int]) -> _Fields:
    attributes: dict[str, tuple[int, tuple[str, ...]]] = {}
    figures: dict[str, int] = {}
    parts: dict[int, str] = {}
    notes: dict[int, str] = {}
    texts: list[int] = []
    for place, (column, cells) in enumerate(zip(table.header, table.columns, strict=True)):
        if place in used:
            continue
        kind, name, note = _kind(column, cells)
        if name in attributes or name in figures:
            raise DataError("two columns give the same field", path=table.path, value=name, action="Rename one of them")
        if kind == "text":
            texts.append(place)
        elif kind == "number":
            figures[name] = place
        elif kind == "attribute":
            several = plain_name(name) in SEVERAL
            attributes[name] = (place, _SEPARATORS if several else _SEPARATORS[:2])
        if kind:
            parts[place] = kind if kind == "text" else f"{kind} {name}"
        notes[place] = note
    return _Fields(
        tuple((name, place, separators) for name, (place, separators) in attributes.items()),
        tuple(figures.items()),
        parts,
        notes,
        tuple(texts),
    )


def _kind(column: str, cells: Sequence[str]) -> tuple[str, str, str]:
    """``number``, ``attribute``, ``text`` or "" (ignored); the field's name; and why, where it is ignored."""
    if column.startswith(ATTRIBUTE_PREFIX) and column != ATTRIBUTE_PREFIX:
        return "attribute", column.removeprefix(ATTRIBUTE_PREFIX), ""
    if column.startswith(NUMBER_PREFIX) and column != NUMBER_PREFIX:
        return "number", column.removeprefix(NUMBER_PREFIX), ""
    given = [cell for cell in cells if cell.strip()]
    if not given:
        return "", column, "it is empty"
    if plain_name(column) in SEVERAL:
        return "attribute", column, ""
    if _last_word(column) in _NAMES_THINGS:
        return "", column, "it names things"
    values, bad = numbers(given)
    if not bad.any() and np.isfinite(values).all():
        return "number", column, ""
    distinct = len({cell for one in given for cell in one.split(BETWEEN_VALUES)})
    if distinct > max(_MOST_VALUES, len(given) // 2):
        if median(len(cell.split()) for cell in given) >= _WORDS_OF_TEXT:
            return "text", column, ""
        return "", column, f"{distinct:,} values for {len(given):,} items sort nothing"
    return "attribute", column, ""


def _with_texts(
    records: Sequence[ItemRecord], table: ColumnTable, item: int, texts: Sequence[int], tally: Tally
) -> tuple[ItemRecord, ...]:
    """Items with the cells of further columns of text after their own, each on a line of its own."""
    if not texts:
        return tuple(records)
    added: dict[str, tuple[int, list[str]]] = {}
    cells = zip(*(table.columns[place] for place in texts), strict=True)
    for line, id_, mine in zip(table.lines.tolist(), table.columns[item], cells, strict=True):
        added.setdefault(id_, (line, [cell for cell in mine if cell.strip()]))

    def joined(record: ItemRecord) -> ItemRecord:
        line, more = added[record.id]
        whole = "\n".join(part for part in (record.text, *more) if part)
        return replace(record, text=cut(whole, tally, line, "text"))

    return tuple(map(joined, records))


def _last_word(column: str) -> str:
    """``url`` of ``image_url`` and ``imageURL``, ``id`` of ``imdbId`` and ``imdb id``, in lower case."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", column)
    return words[-1].lower() if words else ""


def _with_files(
    records: Sequence[ItemRecord], table: ColumnTable, places: Mapping[str, int], files: Path, tally: Tally
) -> tuple[ItemRecord, ...]:
    """Items with the picture and sound that the table names; a file that is not there is left out and recorded."""
    found: dict[str, dict[str, Path]] = {}
    for part in ("image", "sound"):
        if part not in places:
            continue
        cells = zip(table.lines.tolist(), table.columns[places["item"]], table.columns[places[part]], strict=True)
        for line, item, cell in cells:
            if not cell or part in found.get(item, {}):
                continue
            path = files / cell
            if path.is_file():
                found.setdefault(item, {})[part] = path
            else:
                tally.trim(line, f"no such {part} file, left out")
    return tuple(
        replace(record, image=mine.get("image"), sound=mine.get("sound")) if (mine := found.get(record.id)) else record
        for record in records
    )
