"""Counting what a reader leaves out, so that no row of a data file is ever lost silently."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from fedrec.data.schema import Skipped
from fedrec.errors import DataError

MAX_TEXT_BYTES = 1_000_000


class Tally:
    """What was read of one file and what was left out, appended to ``skipped``.

    Args:
        path: the file; entries name it relative to its data directory by ``shown``, which defaults to its name.
        skipped: the list that all files of one data set share.
    """

    def __init__(self, path: Path, skipped: list[Skipped], *, shown: str | None = None) -> None:
        self.path = path
        self.rows = 0
        self._shown = path.name if shown is None else shown
        self._skipped = skipped
        self._lost: Counter[str] = Counter()
        self._first_lost: tuple[int, str] | None = None

    def lose(self, line: int, reason: str) -> None:
        """Record that a whole row is left out. ``line`` counts from 1; 0 where the file has no lines."""
        if self._first_lost is None:
            self._first_lost = (line, reason)
        self._lost[reason] += 1
        self._skipped.append(Skipped(self._shown, line, reason))

    def trim(self, line: int, reason: str) -> None:
        """Record that a row is kept without one of its parts (a text that was cut, an unreadable number)."""
        self._skipped.append(Skipped(self._shown, line, reason))

    def finish(self) -> None:
        """Raise DataError when more than half of the rows were lost: then the file is not what it claims to be."""
        lost = self._lost.total()
        if self._first_lost is None or 2 * lost <= self.rows:
            return
        reason, count = self._lost.most_common(1)[0]
        line, first = self._first_lost
        raise DataError(
            f"{lost} of {self.rows} rows are unusable, most often: {reason} ({count}); first: {first}",
            path=self.path,
            line=line or None,
            action="Mend the file, or check that it belongs to this data directory",
        )


def cut(text: str, tally: Tally, line: int, what: str) -> str:
    """At most `MAX_TEXT_BYTES` of UTF-8, cut between characters; a cut is recorded in the tally."""
    if len(text) * 4 <= MAX_TEXT_BYTES:
        return text
    raw = text.encode("utf-8")
    if len(raw) <= MAX_TEXT_BYTES:
        return text
    tally.trim(line, f"{what} over {MAX_TEXT_BYTES // 1_000_000} MB, cut")
    return raw[:MAX_TEXT_BYTES].decode("utf-8", errors="ignore")
