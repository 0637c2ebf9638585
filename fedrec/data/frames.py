"""Frames of pandas, polars and pyarrow, Parquet files and mappings of columns, as tables of text.

None of these libraries is imported unless a frame of it, or a Parquet file, is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from fedrec.data.column_table import ColumnTable
from fedrec.data.event_times import seconds_of
from fedrec.errors import DataError
from fedrec.extras import need

# Between the values of a cell that holds several; it occurs in no text.
BETWEEN_VALUES: Final = "\x1f"
_MISSING: Final = {"NAType", "NaTType"}
_MOST_EXACT: Final = 2.0**53


def is_frame(source: object) -> bool:
    """Whether this is a frame of pandas or polars, a table of pyarrow, or a mapping of names to columns."""
    return _library(source) in ("pandas", "polars", "pyarrow") or isinstance(source, Mapping)


def frame_table(frame: Any, what: str) -> ColumnTable:
    """A frame as a table of text; rows are counted from 1. ``what``: what it is called in messages.

    Missing values (None, NaN, NaT, NA) are empty cells. A whole number that is held as a float is written without its
    point, so that an id is the same text in every frame. Dates become seconds since 1970, UTC. Lists are kept apart.

    Raises:
        DataError: it is no table of named columns.
    """
    library, kind = _library(frame), type(frame).__name__
    path = Path(f"{what} {kind}" if library else what)
    if library and kind not in ("DataFrame", "Table"):
        action = "Call collect() first" if kind == "LazyFrame" else "Give a DataFrame, or a table of pyarrow"
        raise DataError("this is no table that is in memory", path=path, value=f"{library}.{kind}", action=action)
    try:
        names, columns = _columns_of(frame, library, path)
        cells = [cells_of(column) for column in columns]
    except (ValueError, TypeError, KeyError, OverflowError, NotImplementedError) as error:
        # Such as a name or a text that is no UTF-8, or a date that Python has none for.
        action = "Write it anew, with texts in UTF-8"
        raise DataError(f"a table that cannot be read: {error}", path=path, action=action) from None
    if not columns:
        raise DataError("a table without columns", path=path, action="Give at least a column user and a column item")
    return ColumnTable(path, names, cells)


def parquet_table(path: Path) -> ColumnTable:
    """A Parquet file as a table of text, as `frame_table` makes it.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: it is not a Parquet file, or cannot be read.
    """
    parquet = need("pyarrow.parquet", "data", what=f"reading {path.name}")
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"no readable Parquet file: {error}", path=path, action="Write it anew") from None
    found = frame_table(table, path.name)
    return ColumnTable(path, found.header, found.columns)


def cells_of(values: Iterable[Any]) -> list[str]:
    """Values of any kind as text, "" where one is missing."""
    return [value if type(value) is str else _cell(value) for value in values]


def _cell(value: Any) -> str:
    if value is None or type(value).__name__ in _MISSING:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, datetime):
        return str(seconds_of(value))
    if isinstance(value, date):
        return str(seconds_of(datetime.combine(value, time())))
    if isinstance(value, list | tuple | set | frozenset) or getattr(value, "ndim", 0) == 1:
        # One mark at the end, so that a single value that holds a | is still one value.
        cells = cells_of(sorted(value, key=str) if isinstance(value, set | frozenset) else value)
        return "".join(cell + BETWEEN_VALUES for cell in cells)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return _cell(value.item())
    return str(value)


def _number(value: float) -> str:
    if value != value:
        return ""
    return str(int(value)) if value.is_integer() and abs(value) < _MOST_EXACT else repr(value)


def _columns_of(frame: Any, library: str, path: Path) -> tuple[list[str], list[list[Any]]]:
    """The names of the columns and their values."""
    match library:
        case "pandas":
            return [str(name) for name in frame.columns], [
                frame.iloc[:, place].tolist() for place in range(len(frame.columns))
            ]
        case "polars":
            return [str(name) for name in frame.columns], [column.to_list() for column in frame.get_columns()]
        case "pyarrow":
            return [str(name) for name in frame.column_names], [column.to_pylist() for column in frame.columns]
        case _:
            return [str(name) for name in frame], [_column(column, name, path) for name, column in frame.items()]


def _column(column: Any, name: object, path: Path) -> list[Any]:
    if isinstance(column, str | bytes) or not isinstance(column, Iterable):
        raise DataError("a column must be a list of values", path=path, value=name, action="Give one value a row")
    return list(column)


def _library(source: object) -> str:
    library = type(source).__module__.partition(".")[0]
    return library if library in ("pandas", "polars", "pyarrow") else ""
