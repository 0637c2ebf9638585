"""Some users of a population as flat columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.users import Histories, pointers_of


@dataclass(frozen=True, eq=False)
class UserRows:
    """Some users as columns. User u did ``items[indptr[u]:indptr[u + 1]]``, in the order of time.

    ``names``: ids, text. ``indptr``: int64 [users + 1]. ``items``: int32 [n]. ``times``: int64 [n], -1 where unknown.
    ``ratings``: float32 [n], NaN where none. ``valid``, ``test``: int32 [users], -1 where none. ``negatives``: int32
    [users, longest], rows padded with -1. None: the file has no such column.
    """

    names: Sequence[str]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    times: NDArray[np.int64] | None = None
    ratings: NDArray[np.float32] | None = None
    valid: NDArray[np.int32] | None = None
    test: NDArray[np.int32] | None = None
    negatives: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def histories(self) -> Histories:
        """The items of each user."""
        return Histories(self.indptr, self.items)

    def take(self, places: NDArray[np.integer]) -> UserRows:
        """The same about some users, in the order given."""
        lengths = np.diff(self.indptr)[places]
        indptr = pointers_of(lengths)
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][places] - indptr[:-1], lengths)
        return UserRows(
            names=[self.names[int(place)] for place in places],
            indptr=indptr,
            items=self.items[at],
            times=None if self.times is None else self.times[at],
            ratings=None if self.ratings is None else self.ratings[at],
            valid=None if self.valid is None else self.valid[places],
            test=None if self.test is None else self.test[places],
            negatives=None if self.negatives is None else self.negatives[places],
        )


def joined(parts: Sequence[UserRows]) -> UserRows:
    """The users of several parts, one after the other; at least one part, all with the same columns."""
    names = [name for part in parts for name in part.names]
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    columns: dict[str, Any] = {
        name: None if getattr(parts[0], name) is None else np.concatenate([getattr(part, name) for part in parts])
        for name in ("items", "times", "ratings", "valid", "test")
    }
    negatives = [part.negatives for part in parts if part.negatives is not None]
    return UserRows(names, pointers_of(lengths), **columns, negatives=stacked(negatives) if negatives else None)


def stacked(tables: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Padded tables [users, any width] one below the other, filled up with -1."""
    width = max(table.shape[1] for table in tables)
    out = np.full((sum(map(len, tables)), width), -1, dtype=np.int32)
    start = 0
    for table in tables:
        out[start : start + len(table), : table.shape[1]] = table
        start += len(table)
    return out
