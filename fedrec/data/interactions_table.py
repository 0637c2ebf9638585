"""The interactions of a data set: checked row by row, kept as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, repeat

import numpy as np
from numpy.typing import NDArray

from fedrec.data.schema import TEST, TRAIN, UNSPLIT, VALID, Interactions
from fedrec.data.tables import Chunk, TextTable, numbers
from fedrec.data.tally import Tally
from fedrec.errors import DataError

# The last second of the year 9999: beyond it a number is milliseconds or no time at all.
MAX_TIMESTAMP = 253_402_300_799
NAMED_SPLITS: Mapping[str, int] = {"train": TRAIN, "valid": VALID, "test": TEST, "": UNSPLIT}
_BAD_SPLIT = -2


@dataclass(frozen=True)
class Places:
    """Which column of a table is what; None where the table has no such column."""

    user: int
    item: int
    rating: int | None = None
    timestamp: int | None = None
    split: int | None = None


@dataclass(frozen=True)
class _Part:
    """The usable rows of one chunk, and the lines of the file that they stand in."""

    lines: NDArray[np.int64]
    rows: Interactions


def read_interactions(
    table: TextTable,
    places: Places,
    items: Mapping[str, int],
    tally: Tally,
    splits: Mapping[str, int] = NAMED_SPLITS,
) -> tuple[tuple[str, ...], Interactions]:
    """Users in the order of their first usable row, and their interactions.

    A row is lost (counted in ``tally``) when its user or item is empty, its item is not in ``items``, its rating is
    given but no finite float32, its timestamp is given but no number from 0 to the year 9999 (fractions of a second are
    dropped), its split is not a key of ``splits``, or an equal row came before. Empty ratings, timestamps and splits
    mean unknown. Raises DataError when there is no row, or more than half of the rows are lost.
    """
    users: dict[str, int] = {}
    parts = [_usable(chunk, places, items, splits, users, tally) for chunk in table.chunks(tally)]
    if not tally.rows:
        raise DataError("a header and no rows", path=table.path, line=1, action="Add at least one interaction")
    tally.finish()
    lines = np.concatenate([part.lines for part in parts])
    interactions = _joined([part.rows for part in parts])
    again = repeated(interactions)
    for line in lines[again]:
        tally.lose(int(line), "duplicate row")
    tally.finish()
    return tuple(users), _ordered(interactions, ~again)


def repeated(interactions: Interactions) -> NDArray[np.bool_]:
    """bool [n]: True where an equal row (all five columns) came before."""
    again = np.zeros(len(interactions), dtype=np.bool_)
    if not len(interactions):
        return again
    pair = interactions.user.astype(np.int64) * (int(interactions.item.max()) + 1) + interactions.item
    order = np.argsort(pair, kind="stable")
    same_pair = pair[order][1:] == pair[order][:-1]
    if not same_pair.any():
        return again
    # Only rows whose (user, item) occurs more than once need the costly comparison of all columns.
    suspects = order[np.concatenate([same_pair, [False]]) | np.concatenate([[False], same_pair])]
    keys = (
        suspects,
        interactions.split[suspects],
        np.nan_to_num(interactions.rating[suspects], nan=-np.inf),
        interactions.timestamp[suspects],
        pair[suspects],
    )
    ranked = np.lexsort(keys)
    equal = np.ones(len(ranked) - 1, dtype=np.bool_)
    for key in keys[1:]:
        equal &= key[ranked][1:] == key[ranked][:-1]
    again[suspects[ranked[1:][equal]]] = True
    return again


def _ordered(rows: Interactions, keep: NDArray[np.bool_]) -> Interactions:
    """The kept rows by (user, timestamp, order in the file); lexsort is stable, so the last key is implied."""
    order = np.flatnonzero(keep)
    order = order[np.lexsort((rows.timestamp[order], rows.user[order]))]
    return Interactions(
        user=rows.user[order],
        item=rows.item[order],
        rating=rows.rating[order],
        timestamp=rows.timestamp[order],
        split=rows.split[order],
    )


def _joined(parts: Sequence[Interactions]) -> Interactions:
    return Interactions(
        user=np.concatenate([part.user for part in parts]),
        item=np.concatenate([part.item for part in parts]),
        rating=np.concatenate([part.rating for part in parts]),
        timestamp=np.concatenate([part.timestamp for part in parts]),
        split=np.concatenate([part.split for part in parts]),
    )


def _usable(
    chunk: Chunk,
    places: Places,
    items: Mapping[str, int],
    splits: Mapping[str, int],
    users: dict[str, int],
    tally: Tally,
) -> _Part:
    check = _Check(chunk, tally)
    names, ids = chunk.columns[places.user], chunk.columns[places.item]
    if not (all(names) and all(ids)):
        check.refuse(np.array([not (name and id_) for name, id_ in zip(names, ids, strict=True)]), "missing cell")
    item = np.fromiter(map(items.get, ids, repeat(-1)), dtype=np.int32, count=len(chunk))
    check.refuse(item < 0, "unknown item")
    rating = _ratings(chunk, places.rating, check)
    timestamp = _timestamps(chunk, places.timestamp, check)
    split = _splits(chunk, places.split, splits, check)
    good = check.good
    kept: Sequence[str] = names if good.all() else tuple(compress(names, good.tolist()))
    for name in dict.fromkeys(kept):
        users.setdefault(name, len(users))
    user = np.fromiter(map(users.__getitem__, kept), dtype=np.int32, count=len(kept))
    return _Part(chunk.lines[good], Interactions(user, item[good], rating[good], timestamp[good], split[good]))


class _Check:
    """Which rows of a chunk are still good; the first reason that meets a row is the one recorded."""

    def __init__(self, chunk: Chunk, tally: Tally) -> None:
        self.good = np.ones(len(chunk), dtype=np.bool_)
        self._lines = chunk.lines
        self._tally = tally

    def refuse(self, bad: NDArray[np.bool_], reason: str) -> None:
        for place in np.flatnonzero(bad & self.good):
            self._tally.lose(int(self._lines[place]), reason)
        self.good &= ~bad


def _ratings(chunk: Chunk, place: int | None, check: _Check) -> NDArray[np.float32]:
    if place is None:
        return np.full(len(chunk), np.nan, dtype=np.float32)
    values, bad = numbers(chunk.columns[place])
    with np.errstate(over="ignore"):
        ratings = values.astype(np.float32)
    check.refuse(bad | np.isinf(ratings), "rating is not a finite number")
    return ratings


def _timestamps(chunk: Chunk, place: int | None, check: _Check) -> NDArray[np.int64]:
    if place is None:
        return np.full(len(chunk), -1, dtype=np.int64)
    values, bad = numbers(chunk.columns[place])
    check.refuse(bad, "timestamp is not a finite number")
    check.refuse(values < 0, "negative timestamp")
    check.refuse(values > MAX_TIMESTAMP, "timestamp after the year 9999 (not in seconds?)")
    known = np.isfinite(values) & (values >= 0) & (values <= MAX_TIMESTAMP)
    return np.where(known, np.floor(np.where(known, values, 0.0)), -1.0).astype(np.int64)


def _splits(chunk: Chunk, place: int | None, names: Mapping[str, int], check: _Check) -> NDArray[np.int8]:
    if place is None:
        return np.full(len(chunk), UNSPLIT, dtype=np.int8)
    cells = chunk.columns[place]
    split = np.fromiter(map(names.get, cells, repeat(_BAD_SPLIT)), dtype=np.int8, count=len(chunk))
    check.refuse(split == _BAD_SPLIT, f"split is none of {', '.join(name for name in names if name)}")
    return split
