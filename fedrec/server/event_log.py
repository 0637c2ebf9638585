"""``events.jsonl``: one line of JSON for each opened sum, of which none is lost or doubled when a run is cut off."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedrec.server.aggregation_failed import AGGREGATION_FAILED
from fedrec.whole_files import cannot_write


class EventLog:
    """The lines of one run, on disk and in memory.

    ``goes_on``: whether the run was begun before; then whole lines that are there are kept, and a last one that a kill
    tore is dropped.  Else the file is begun anew.  A line is written, and synced, after its sum was charged and before
    the sum's effect is kept, so a run that goes on shows the last sum once more: its second line is not written.
    """

    def __init__(self, path: Path, *, goes_on: bool) -> None:
        self._path = path
        there = _text(path)
        whole = [line for line in there.splitlines(keepends=True) if line.endswith("\n")] if goes_on else []
        self.records: list[dict[str, Any]] = [json.loads(line) for line in whole]
        if "".join(whole) != there:
            path.write_text("".join(whole), encoding="utf-8")

    def has(self, query: str, number: int) -> bool:
        """Whether there is a line of an opened sum of this round of this query."""
        opened = (record for record in self.records if record.get("reason") != AGGREGATION_FAILED)
        return any((record["query"], record["round"]) == (query, number) for record in opened)

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record with the keys ``query`` and ``round``, which must be new among opened sums.

        Raises:
            StoreError: the disk refuses, or is full. A part of a line that it took is dropped when the run goes on.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self._path, error) from None
        self.records.append(dict(record))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
