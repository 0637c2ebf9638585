"""Tables of JSON lines: one object a line, its keys the columns."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedrec.data.frames import cells_of
from fedrec.data.tables import CHUNK_ROWS, Chunk
from fedrec.data.tally import Tally
from fedrec.errors import DataError


class JsonLinesTable:
    """A UTF-8 file with one JSON object a line. The header has every key of the file, in the order they first come.

    A key that an object lacks, and null, are empty cells; a list is a cell of several values; an object within is its
    JSON text. Blank lines are no rows.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or has no object with a key.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        keys: dict[str, None] = {}
        for _, row in self._rows():
            keys.update(dict.fromkeys(row or ()))
        if not keys:
            raise DataError("there is no JSON object in it", path=path, line=1, action="Write one object a line")
        self.header: tuple[str, ...] = tuple(keys)

    def chunks(self, tally: Tally) -> Iterator[Chunk]:
        """All rows, `CHUNK_ROWS` at a time. A line that is no JSON object is lost in the tally."""
        lines: list[int] = []
        rows: list[Mapping[str, Any]] = []
        for line, row in self._rows():
            if row is None:
                tally.rows += 1
                tally.lose(line, "no JSON object")
                continue
            lines.append(line)
            rows.append(row)
            if len(rows) == CHUNK_ROWS:
                yield self._chunk(lines, rows, tally)
                lines, rows = [], []
        if rows:
            yield self._chunk(lines, rows, tally)

    def _chunk(self, lines: list[int], rows: list[Mapping[str, Any]], tally: Tally) -> Chunk:
        tally.rows += len(rows)
        columns = tuple(cells_of(_flat(row.get(name)) for row in rows) for name in self.header)
        return Chunk(np.array(lines, dtype=np.int64), columns)

    def _rows(self) -> Iterator[tuple[int, Mapping[str, Any] | None]]:
        """Lines that are not blank, counted from 1, with their object; None for one that is none."""
        line = 0
        try:
            with self.path.open(encoding="utf-8-sig") as file:
                for line, text in enumerate(file, start=1):
                    if text.strip():
                        yield line, _object(text)
        except UnicodeDecodeError:
            raise DataError("not UTF-8", path=self.path, line=line + 1, action="Save the file as UTF-8") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=self.path) from None


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _flat(value: Any) -> Any:
    """What `cells_of` writes as a cell: an object, alone or in a list, as its JSON text."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return [_flat(one) for one in value] if isinstance(value, list) else value
