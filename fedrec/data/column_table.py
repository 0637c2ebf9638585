"""A table of text that is in memory, column by column, read like one that is in a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.data.tables import CHUNK_ROWS, Chunk, TextTable
from fedrec.data.tally import Tally
from fedrec.errors import DataError


class ColumnTable:
    """Columns of equal length as a `TextTable`.

    Args:
        path: what the table is called in messages.
        header: names of the columns.
        columns: their cells, "" where one is missing.
        lines: where each row stands in its file; None: rows are counted from 1.

    Raises:
        DataError: two columns have one name, or columns differ in length.
    """

    def __init__(
        self,
        path: Path,
        header: Sequence[str],
        columns: Sequence[Sequence[str]],
        lines: NDArray[np.int64] | None = None,
    ) -> None:
        self.path = path
        self.header = tuple(header)
        self.columns = tuple(columns)
        twice = sorted({name for name in self.header if self.header.count(name) > 1})
        if twice:
            raise DataError("two columns have the same name", path=path, value=twice[0], action="Rename one of them")
        if len({len(column) for column in self.columns}) > 1:
            lengths = {name: len(column) for name, column in zip(self.header, self.columns, strict=True)}
            raise DataError("columns are of different lengths", path=path, value=lengths)
        rows = len(self.columns[0]) if self.columns else 0
        self.lines = np.arange(1, rows + 1, dtype=np.int64) if lines is None else lines

    def __len__(self) -> int:
        return len(self.lines)

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """All rows, `CHUNK_ROWS` at a time; each is counted in the tally."""
        for start in range(0, len(self), CHUNK_ROWS):
            rows = slice(start, start + CHUNK_ROWS)
            lines = self.lines[rows]
            tally.rows += len(lines)
            yield Chunk(lines, tuple(column[rows] for column in self.columns))


def in_memory(table: TextTable) -> ColumnTable:
    """A table's usable rows as columns, to look at them as a whole. What is lost on the way is not recorded."""
    if isinstance(table, ColumnTable):
        return table
    columns: list[list[str]] = [[] for _ in table.header]
    lines: list[NDArray[np.int64]] = [np.zeros(0, dtype=np.int64)]
    for chunk in table.chunks(Tally(table.path, [])):
        lines.append(chunk.lines)
        for column, cells in zip(columns, chunk.columns, strict=True):
            column.extend(cells)
    return ColumnTable(table.path, table.header, columns, np.concatenate(lines))
