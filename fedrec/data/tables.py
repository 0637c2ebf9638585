"""Reading delimited text files in chunks of columns, with every structural error naming the file and the line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, compress, islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from fedrec.data.tally import Tally
from fedrec.errors import DataError

if TYPE_CHECKING:
    import _csv

CHUNK_ROWS = 4_096
# Python refuses fields over 128 KiB by default; a long text must reach the rule that cuts it and says so.
FIELD_LIMIT = 2**30
_END = re.compile("\r\n|\r|\n")


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
        with _opened(path) as file:
            try:
                header = next(self._reader(file), [])
            except csv.Error as error:
                raise _broken(error, path, 1) from None
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
        with _opened(self.path) as file:
            reader = self._reader(file)
            next(reader, None)
            start, width, delimiter = reader.line_num + 1, len(self.header), self.dialect.delimiter
            while block := list(islice(file, CHUNK_ROWS)):
                text = "".join(block).replace("\r\n", "\n")
                if "\r" in text or (self.dialect.quoted and '"' in text):
                    # A cell may go on in the next line from here on.
                    yield from self._quoted(chain(block, file), start, tally)
                    return
                lines = np.arange(start, start + len(block), dtype=np.int64)
                start += len(block)
                if width > 1 and set(map(str.count, block, repeat(delimiter))) == {width - 1}:
                    cells = text.removesuffix("\n").replace("\n", delimiter).split(delimiter)
                    tally.rows += len(block)
                    yield Chunk(lines, tuple(cells[place::width] for place in range(width)))
                elif len(chunk := self._chunk(lines, list(self._reader(block)), tally)):
                    yield chunk

    def _quoted(self, source: Iterable[str], start: int, tally: Tally) -> Iterator[Chunk]:
        """Chunks of lines of the file, from line ``start`` on, whose cells may be quoted."""
        before, rows = start - 1, list[list[str]]()
        reader = self._reader(source)
        try:
            while True:
                rows.extend(islice(reader, CHUNK_ROWS))  # keeps what came before a line that is broken
                if not rows:
                    return
                chunk = self._chunk(_starts(rows, start, before + reader.line_num), rows, tally)
                start, rows = before + reader.line_num + 1, []
                if len(chunk):
                    yield chunk
        except csv.Error as error:
            raise _broken(error, self.path, int(start + _taken(rows).sum())) from None

    def _chunk(self, lines: NDArray[np.int64], rows: list[list[str]], tally: Tally) -> Chunk:
        """The rows as columns, without blank lines and those of another width."""
        width = len(self.header)
        widths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        for place in np.flatnonzero((widths != width) & (widths > 0)):
            tally.rows += 1
            tally.lose(int(lines[place]), "missing cell" if widths[place] < width else "more cells than the header")
        whole = widths == width
        tally.rows += int(whole.sum())
        kept = compress(rows, whole.tolist())
        return Chunk(lines[whole], tuple(zip(*kept, strict=True)) if whole.any() else ((),) * width)

    def _reader(self, lines: Iterable[str]) -> _csv.Reader:
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.dialect.quoted else csv.QUOTE_NONE
        return csv.reader(lines, delimiter=self.dialect.delimiter, quoting=quoting, strict=True)


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """The file's lines with their ends. Raises DataError where it cannot be read, then or later."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError:
        line = _first_line_not_utf8(path)
        raise DataError("not UTF-8 text", path=path, line=line, action="Save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path=path) from None


def _broken(error: csv.Error, path: Path, line: int) -> DataError:
    return DataError(
        f"broken quoting or cell: {error}",
        path=path,
        line=line,
        action='A quote inside a quoted cell is written twice, as in "a ""b"" c"',
    )


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


def _starts(rows: Sequence[Sequence[str]], start: int, end: int) -> NDArray[np.int64]:
    """The line that each row starts in, where they take the lines from ``start`` to ``end``."""
    if end - start + 1 == len(rows):
        return np.arange(start, end + 1, dtype=np.int64)
    taken = _taken(rows)
    return start + np.cumsum(taken) - taken


def _taken(rows: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """How many lines each row takes: one more than there are ends of lines in its cells."""
    return np.array([1 + sum(len(_END.findall(cell)) for cell in row) for row in rows], dtype=np.int64)


def _first_line_not_utf8(path: Path) -> int:
    with path.open("rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return 1
