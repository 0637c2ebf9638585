"""Reading delimited text files in chunks of columns, with every structural error naming the file and the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.data.tally import Tally
from fedrec.errors import DataError

CHUNK_ROWS = 4_096
# Python refuses fields over 128 KiB by default; a long text must reach the rule that cuts it and says so.
FIELD_LIMIT = 2**30


@dataclass(frozen=True)
class Dialect:
    """How cells are separated, and whether double quotes may enclose them."""

    delimiter: str
    quoted: bool


CSV = Dialect(",", quoted=True)
ATOMIC = Dialect("\t", quoted=False)


@dataclass(frozen=True)
class Chunk:
    """Some rows of a table, column-wise. ``lines``: int64, where each row starts in the file, counted from 1."""

    lines: NDArray[np.int64]
    columns: tuple[Sequence[str], ...]

    def __len__(self) -> int:
        return len(self.lines)


class TextTable(Protocol):
    """Named columns of text, wherever they come from: a file, or a frame in memory."""

    @property
    def path(self) -> Path:
        """The file, or what the frame is called in messages."""

    @property
    def header(self) -> tuple[str, ...]:
        """The column names."""

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """All rows, some at a time; each is counted in ``tally.rows``, and one that is no row is lost in the tally."""


class Table:
    """A delimited UTF-8 text file with a header line (a byte order mark is tolerated).

    ``header`` holds the column names. Raises DataError at once when the file is missing, empty, not UTF-8, or names a
    column twice.
    """

    def __init__(self, path: Path, dialect: Dialect) -> None:
        self.path = path
        self.dialect = dialect
        csv.field_size_limit(max(csv.field_size_limit(), FIELD_LIMIT))
        _, header = next(self._rows(), (1, []))
        if not any(header):
            raise DataError("the file is empty", path=path, line=1, action="It needs a header line and rows")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DataError("the header names a column twice", path=path, line=1, value=twice[0])
        self.header: tuple[str, ...] = tuple(header)

    def require(self, *names: str) -> None:
        """Raise DataError unless the header has all these columns."""
        missing = [name for name in names if name not in self.header]
        if missing:
            raise DataError(
                f"wrong header: no column {', '.join(missing)}",
                path=self.path,
                line=1,
                value=self.dialect.delimiter.join(self.header),
                action=f"The first line must name the columns, at least {', '.join(names)}",
            )

    def place(self, name: str) -> int | None:
        """The place of a column, or None."""
        return self.header.index(name) if name in self.header else None

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """All rows under the header, `CHUNK_ROWS` at a time. Blank lines are not rows; a row with too few or too many
        cells is lost in the tally. Raises DataError for bytes that are not UTF-8 and for broken quotes."""
        width = len(self.header)
        lines: list[int] = []
        rows: list[list[str]] = []
        source = self._rows()
        next(source)
        for line, row in source:
            if len(row) == width:
                lines.append(line)
                rows.append(row)
            elif row:
                tally.rows += 1
                tally.lose(line, "missing cell" if len(row) < width else "more cells than the header")
            if len(rows) >= CHUNK_ROWS:
                yield _chunk(lines, rows, tally)
                lines, rows = [], []
        if rows:
            yield _chunk(lines, rows, tally)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.dialect.quoted else csv.QUOTE_NONE
        end = 0
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, delimiter=self.dialect.delimiter, quoting=quoting, strict=True)
                for row in reader:
                    yield end + 1, row
                    end = reader.line_num
        except UnicodeDecodeError:
            line = _first_line_not_utf8(self.path)
            raise DataError("not UTF-8 text", path=self.path, line=line, action="Save it as UTF-8") from None
        except csv.Error as error:
            raise DataError(
                f"broken quoting or cell: {error}",
                path=self.path,
                line=end + 1,
                action='A quote inside a quoted cell is written twice, as in "a ""b"" c"',
            ) from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=self.path) from None


def numbers(cells: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Cells as numbers: (values float64, NaN where a cell is empty or bad; bad bool, True where a cell is given but is
    no finite number)."""
    try:
        values = np.fromiter(map(float, cells), dtype=np.float64, count=len(cells))
        return values, ~np.isfinite(values)
    except ValueError:
        values = np.fromiter(map(_number, cells), dtype=np.float64, count=len(cells))
        given = np.fromiter(map(bool, cells), dtype=np.bool_, count=len(cells))
        return values, given & ~np.isfinite(values)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")


def _chunk(lines: list[int], rows: list[list[str]], tally: Tally) -> Chunk:
    tally.rows += len(rows)
    return Chunk(np.array(lines, dtype=np.int64), tuple(zip(*rows, strict=True)))


def _first_line_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return 1
