"""When events happened, however it is written: seconds, milliseconds, microseconds or nanoseconds, or ISO dates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import numpy as np

from fedrec.data.tables import Chunk, TextTable, numbers
from fedrec.data.tally import Tally

# Unit -> how many make a second, and from which number on a time is in it. 10^11 seconds are the year 5138, and as many
# milliseconds 1973: no time that data sets have can be read in two ways.
UNITS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {"nanoseconds": (1e9, 1e17), "microseconds": (1e6, 1e14), "milliseconds": (1e3, 1e11), "seconds": (1.0, 0.0)}
)
DATES: Final = "ISO dates"


def unit_of(cells: Sequence[str]) -> str:
    """The unit of a column by its middle value: a key of `UNITS`, or `DATES` where most cells are no numbers."""
    values, _ = numbers(cells)
    known = values[np.isfinite(values)]
    given = sum(map(bool, cells))
    if 2 * len(known) < given:
        return DATES
    middle = float(np.median(np.abs(known))) if len(known) else 0.0
    return next(unit for unit, (_, least) in UNITS.items() if middle >= least)


def in_seconds(cells: Sequence[str], unit: str) -> Sequence[str]:
    """The cells as whole seconds since 1970, UTC; a date without a zone is taken as UTC.

    A cell that is no time stays as it is, for the reader to refuse and record.
    """
    if unit == "seconds":
        return cells
    if unit == DATES:
        return [_date(cell) for cell in cells]
    values, _ = numbers(cells)
    whole = np.floor(values / UNITS[unit][0])
    return [
        str(int(second)) if finite else cell
        for cell, second, finite in zip(cells, whole.tolist(), np.isfinite(values).tolist(), strict=True)
    ]


class TimedTable:
    """A table whose column at ``place`` is in seconds, whatever it is in ``table``. ``unit``: by its first rows."""

    def __init__(self, table: TextTable, place: int) -> None:
        self._table, self._place = table, place
        self.path, self.header = table.path, table.header
        first = next(iter(table.chunks(Tally(table.path, []))), None)
        self.unit = "seconds" if first is None else unit_of(first.columns[place])

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """The rows of the table."""
        for chunk in self._table.chunks(tally):
            columns = list(chunk.columns)
            columns[self._place] = in_seconds(columns[self._place], self.unit)
            yield Chunk(chunk.lines, tuple(columns))


def seconds_of(moment: datetime) -> int:
    """Whole seconds since 1970, UTC; a moment without a zone is taken as UTC."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // 1)


def _date(cell: str) -> str:
    try:
        return str(seconds_of(datetime.fromisoformat(cell.strip()))) if cell else cell
    except (ValueError, OverflowError, OSError):
        return cell
