"""Read data from what people have it in: a directory, a frame, Parquet, CSV, JSON lines, RecBole's files, MovieLens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fedrec.data.atomic import read_atomic
from fedrec.data.column_names import INTERACTION_NAMES, find_columns, taken
from fedrec.data.derived_catalogue import items_of_interactions
from fedrec.data.event_times import TimedTable
from fedrec.data.frames import frame_table, is_frame, parquet_table
from fedrec.data.interactions_table import Places, read_interactions
from fedrec.data.item_columns import items_of
from fedrec.data.json_lines import JsonLinesTable
from fedrec.data.movielens import FILES, find_ratings, movies_beside, ratings_table
from fedrec.data.reader import read_dataset
from fedrec.data.schema import ColumnTaken, Dataset, ItemRecord, Skipped
from fedrec.data.tables import Dialect, Table, TextTable
from fedrec.data.tally import Tally
from fedrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

# As text, so that none of these libraries is imported for it.
Frame: TypeAlias = "pd.DataFrame | pl.DataFrame | pa.Table | Mapping[str, Any]"
Source: TypeAlias = "str | os.PathLike[str] | Dataset | Frame | CatalogueFromInteractions"
ItemSource: TypeAlias = "str | os.PathLike[str] | Frame"


@dataclass(frozen=True)
class CatalogueFromInteractions:
    """Data without a list of items, with the word that the items of its interactions are public; see `read_data`."""

    source: str | os.PathLike[str]

    def __fspath__(self) -> str:
        return os.fspath(self.source)


_PARQUET: Final = (".parquet", ".pq")
_TEXT: Final = (".csv", ".tsv", ".txt", ".dat", ".data")
_JSON_LINES: Final = (".jsonl", ".ndjson", ".jsonlines")
_DELIMITERS: Final = "\t,;|"


def read_data(
    source: Source,
    *,
    items: ItemSource | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str] | None = None,
    catalogue_from_interactions: bool = False,
) -> Dataset:
    """Read a data set.

    Args:
        source: one of

            - a directory: a data directory (``interactions.csv``, ``items.csv``, ``images/``, ... as `read_dataset`
              says), RecBole's or MMRec's files, or MovieLens as it is downloaded;
            - a file: ``u.data``, ``ratings.dat`` or ``ratings.csv`` of MovieLens, with the films beside it; ``.inter``;
              Parquet; JSON lines; or delimited text with a header line (comma, semicolon, tab or ``|``);
            - a DataFrame of pandas or polars, a table of pyarrow, or a mapping of column names to lists: one
              interaction a row;
            - a `Dataset`, which comes back as it is.
        items: the catalogue that goes with a frame or file: a frame or a file too, one item a row.
        name: what the data set is called; by default after its directory or file.
        columns: where a column's name is not a usual one: part (``user``, ``item``, ``rating``, ``timestamp``,
            ``split``) -> column.
        item_columns: the same for items: ``item``, ``title``, ``text``, ``image``, ``sound``.
        catalogue_from_interactions: where there is no list of items, take the ids of the interactions for one, without
            content. It says that these items are public: such a catalogue shows each single touch, outside of epsilon
            (`fedrec.data.derived_catalogue`).

    Usual names are understood however they are written (``user``, ``user_id``, ``userId``, ``uid``; ``item``,
    ``itemId``, ``movie_id``, ``product_id``; ``rating``, ``score``, ``stars``; ``timestamp``, ``time``, ``date``, ...).
    Times are seconds, milliseconds, microseconds or nanoseconds since 1970, by their size, or ISO dates. Of an item's
    other columns, those that sort items become attributes, and numbers become numbers. ``Dataset.columns_taken`` says
    what each column was taken for, and ``Dataset.skipped`` which rows were left out and why. Rows of frames are counted
    from 1.

    Raises:
        DataError: it is missing or cannot be read, a column is missing, there is no list of items, or more than half of
            the rows are unusable (an empty cell, an unknown item, a time that is none, ...); names the file, the line
            and the column.
        ConfigError: arguments that do not go together, or an optional library is not installed.
    """
    if isinstance(source, CatalogueFromInteractions):
        source, catalogue_from_interactions = source.source, True
    if isinstance(source, Dataset):
        _refuse("a Dataset is read already", items=items, columns=columns, item_columns=item_columns)
        return source if name is None else replace(source, name=name)
    if is_frame(source):
        table = frame_table(source, "interactions")
        return _assembled(table, name or "data", items, columns, item_columns, catalogue_from_interactions)
    path = _path(source)
    if path.is_dir():
        ratings = None if (path / "interactions.csv").exists() else find_ratings(path)
        if ratings is None:
            _refuse("a directory says itself what is in it", items=items, columns=columns, item_columns=item_columns)
            found = read_dataset(path, catalogue_from_interactions=catalogue_from_interactions)
            return found if name is None else replace(found, name=name)
        return _movielens(
            ratings, name or path.resolve().name, items, columns, item_columns, catalogue_from_interactions
        )
    if path.suffix == ".inter":
        _refuse("atomic files say themselves what is in them", items=items, columns=columns, item_columns=item_columns)
        found = read_atomic(path.parent, path, catalogue_from_interactions=catalogue_from_interactions)
        return found if name is None else replace(found, name=name)
    if path.name in FILES:
        folder = path.resolve().parent.name
        return _movielens(path, name or folder, items, columns, item_columns, catalogue_from_interactions)
    return _assembled(file_table(path), name or path.stem, items, columns, item_columns, catalogue_from_interactions)


def _movielens(
    ratings: Path,
    name: str,
    items: ItemSource | None,
    columns: Mapping[str, str] | None,
    item_columns: Mapping[str, str] | None,
    consented: bool,
) -> Dataset:
    if items is not None:
        return _assembled(ratings_table(ratings), name, items, columns, item_columns, consented)
    _refuse("these are of items, and no items are given", item_columns=item_columns)
    skipped: list[Skipped] = []
    found = movies_beside(ratings, skipped)
    return _joined(ratings_table(ratings), name, columns, found, skipped, consented)


def _assembled(
    table: TextTable,
    name: str,
    items: ItemSource | None,
    columns: Mapping[str, str] | None,
    item_columns: Mapping[str, str] | None,
    consented: bool,
) -> Dataset:
    """A data set of a table of interactions, and one of items where there is one."""
    skipped: list[Skipped] = []
    if items is None:
        _refuse("these are of items, and no items are given", item_columns=item_columns)
        return _joined(table, name, columns, None, skipped, consented)
    if is_frame(items):
        found = items_of(frame_table(items, "items"), skipped, given=item_columns)
    else:
        path = _path(items)
        found = items_of(file_table(path), skipped, given=item_columns, files=path.parent)
    return _joined(table, name, columns, found, skipped, consented)


def _joined(
    table: TextTable,
    name: str,
    columns: Mapping[str, str] | None,
    catalogue: tuple[tuple[ItemRecord, ...], list[ColumnTaken]] | None,
    skipped: list[Skipped],
    consented: bool,
) -> Dataset:
    places = find_columns(table.header, INTERACTION_NAMES, table.path, columns)
    notes: dict[int, str] = {}
    if "timestamp" in places:
        table = TimedTable(table, places["timestamp"])
        notes[places["timestamp"]] = table.unit
    if catalogue is None:
        where = "items=, a frame or a file"
        catalogue = items_of_interactions(table, places["item"], consented=consented, where=where), []
    records, items_taken = catalogue
    index = {record.id: place for place, record in enumerate(records)}
    users, interactions = read_interactions(table, Places(**places), index, Tally(table.path, skipped))
    parts = {place: part for part, place in places.items()}
    return Dataset(
        name=name,
        directory=None,
        users=users,
        items=records,
        interactions=interactions,
        skipped=tuple(skipped),
        columns_taken=(*taken(table.path.name, table.header, parts, notes), *items_taken),
    )


def file_table(path: Path) -> TextTable:
    """A file as a table of text, by its suffix. Raises DataError for one that is missing, or of an unknown kind."""
    path = _path(path)
    if path.suffix.lower() in _JSON_LINES:
        return JsonLinesTable(path)
    if path.suffix.lower() in _PARQUET:
        return parquet_table(path)
    if path.suffix.lower() not in _TEXT:
        raise DataError(
            "it is not known how to read a file of this kind",
            path=path,
            value=path.suffix,
            action="Give CSV, TSV, JSON lines (.jsonl), Parquet, .inter, or a file of MovieLens under its own name",
        )
    return Table(path, Dialect(_delimiter(path), quoted=True))


def _delimiter(path: Path) -> str:
    """The mark that the first line has most of; a comma where it has none."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            first = file.readline(100_000)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from None
    return max("," + _DELIMITERS, key=first.count)


def _path(source: object) -> Path:
    """A path that is there. Raises DataError for one that is not, and for what is no path."""
    if not isinstance(source, str | os.PathLike):
        raise DataError(
            "this is no data that can be read",
            path=type(source).__name__,
            action="Give a path, a DataFrame of pandas or polars, a table of pyarrow, or a mapping of columns",
        )
    path = Path(source).expanduser()
    if not path.exists():
        raise DataError("no such file or directory", path=path, value=str(path), action="Give the path of a data set")
    return path


def _refuse(why: str, **given: object) -> None:
    """Raise ConfigError where one of these was given."""
    if wrong := [name for name, value in given.items() if value is not None]:
        raise ConfigError(why, value=wrong, action=f"Leave {' and '.join(wrong)} out")
