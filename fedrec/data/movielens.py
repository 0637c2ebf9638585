"""MovieLens as it is downloaded: ``u.data`` and ``u.item`` (100K), ``ratings.dat`` and ``movies.dat`` (1M, 10M),
``ratings.csv`` and ``movies.csv`` (20M, 25M, 32M, latest).

Formats: Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5(4), 2015, and the README files of
the data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from fedrec.data.column_names import taken
from fedrec.data.items_table import ItemColumns, read_items
from fedrec.data.schema import ColumnTaken, ItemRecord, Skipped
from fedrec.data.tables import CHUNK_ROWS, CSV, Chunk, Table, TextTable
from fedrec.data.tally import Tally
from fedrec.errors import DataError

# Ratings -> the films that lie beside them.
FILES: Final[Mapping[str, str]] = {"u.data": "u.item", "ratings.dat": "movies.dat", "ratings.csv": "movies.csv"}
_UNKNOWN: Final = "unknown"
# The flags of u.item, in its order; u.genre lists the same.
GENRES: Final = (
    *(_UNKNOWN, "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_RATING: Final = ("user", "item", "rating", "timestamp")
_MOVIE: Final = ("item", "title", "genres")
_U_ITEM: Final = ("item", "title", "release date", "video release date", "IMDb URL", *GENRES)
_FIRST_FLAG: Final = len(_U_ITEM) - len(GENRES)
_NO_GENRES: Final = "(no genres listed)"

Columns = Sequence[Sequence[str]]


class LineTable:
    """A file without a header and without quotes, cells between a mark of any length, as a `TextTable`.

    It is read as UTF-8, or where it is none as Latin-1, which the older data sets are in. Lines that are not of the
    header's number of cells are lost in the tally; blank lines are none.
    """

    def __init__(self, path: Path, delimiter: str, header: Sequence[str]) -> None:
        self.path, self.header = path, tuple(header)
        self._delimiter = delimiter
        try:
            with path.open(encoding="utf-8") as file:
                for _ in file:
                    pass
            self._encoding = "utf-8"
        except UnicodeDecodeError:
            self._encoding = "latin-1"
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=path) from None

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """All rows, `CHUNK_ROWS` at a time."""
        lines: list[int] = []
        rows: list[list[str]] = []
        with self.path.open(encoding=self._encoding) as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                tally.rows += 1
                cells = text.rstrip("\r\n").split(self._delimiter)
                if len(cells) == len(self.header):
                    lines.append(line)
                    rows.append(cells)
                else:
                    tally.lose(line, "missing cell" if len(cells) < len(self.header) else "more cells than columns")
                if len(rows) >= CHUNK_ROWS:
                    yield Chunk(np.array(lines, dtype=np.int64), tuple(zip(*rows, strict=True)))
                    lines, rows = [], []
        if rows:
            yield Chunk(np.array(lines, dtype=np.int64), tuple(zip(*rows, strict=True)))


def ratings_table(path: Path) -> TextTable:
    """The ratings of MovieLens; ``path`` is one of `FILES`. Raises DataError where they cannot be read."""
    if path.name == "u.data":
        return LineTable(path, "\t", _RATING)
    if path.name == "ratings.dat":
        return LineTable(path, "::", _RATING)
    return Table(path, CSV)


def movies_beside(path: Path, skipped: list[Skipped]) -> tuple[tuple[ItemRecord, ...], list[ColumnTaken]] | None:
    """The films beside a file of ratings, and what their columns were taken for; None where there are none.

    Raises:
        DataError: they cannot be read, or more than half of their rows are unusable.
    """
    movies = path.with_name(FILES[path.name])
    if not movies.is_file():
        return None
    parts = {0: "item", 1: "title", 2: "attribute genres"}
    table: TextTable
    if movies.name == "u.item":
        table = LineTable(movies, "|", _U_ITEM)
        chosen = _Chosen(table, lambda columns: (columns[0], columns[1], _genres(columns[_FIRST_FLAG:])))
        parts = {0: "item", 1: "title"} | dict.fromkeys(range(_FIRST_FLAG, len(_U_ITEM)), "attribute genres")
    elif movies.name == "movies.dat":
        table = LineTable(movies, "::", _MOVIE)
        chosen = _Chosen(table, lambda columns: columns)
    else:
        table = Table(movies, CSV)
        table.require("movieId", "title", "genres")
        places = [table.header.index(column) for column in ("movieId", "title", "genres")]
        parts = dict(zip(places, parts.values(), strict=True))
        chosen = _Chosen(table, lambda columns: [columns[place] for place in places])
    columns = ItemColumns(id=0, title=1, text=None, attributes=(("genres", 2, ("|",)),), numbers=())
    records = read_items(chosen, columns, Tally(movies, skipped))
    return _without_placeholder(records), taken(movies.name, table.header, parts, {})


def find_ratings(directory: Path) -> Path | None:
    """The file of ratings in a folder of MovieLens; None where there is none."""
    return next((path for name in FILES if (path := directory / name).is_file()), None)


class _Chosen:
    """Id, title and genres of a table of films. ``choose``: makes these three columns of all that there are."""

    def __init__(self, table: TextTable, choose: Callable[[Columns], Columns]) -> None:
        self._table, self._choose = table, choose
        self.path, self.header = table.path, _MOVIE

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        for chunk in self._table.chunks(tally):
            yield Chunk(chunk.lines, tuple(self._choose(chunk.columns)))


def _genres(flags: Columns) -> list[str]:
    """The names of the flags that are set, for each film, with | between them; *unknown* is no genre."""
    rows = zip(*flags, strict=True)
    named = [[name for name, flag in zip(GENRES, row, strict=True) if flag == "1" and name != _UNKNOWN] for row in rows]
    return ["|".join(names) for names in named]


def _without_placeholder(records: Sequence[ItemRecord]) -> tuple[ItemRecord, ...]:
    return tuple(
        replace(record, attributes={}) if record.attributes.get("genres") == (_NO_GENRES,) else record
        for record in records
    )
