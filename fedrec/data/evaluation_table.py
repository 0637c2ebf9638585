"""``loo_99neg.csv``: for each user a validation item, a test item and negatives to rank the test item against."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.data.schema import LeaveOneOut, Skipped
from fedrec.data.tables import CSV, Table
from fedrec.data.tally import Tally

MAX_NEGATIVES = 99
COLUMNS = ("user", "valid_item", "test_item", "negatives")


def read_evaluation(
    path: Path,
    users: Mapping[str, int],
    items: Mapping[str, int],
    active: NDArray[np.bool_],
    skipped: list[Skipped],
) -> LeaveOneOut:
    """Read ``loo_99neg.csv``; negatives are item ids separated by spaces. ``active``: bool [users], who has an event.

    An empty ``valid_item`` or ``test_item`` means none. A row is lost when its user is unknown, has no interactions or
    came before, when an item is unknown, or when valid and test are the same item. A negative is dropped, and recorded,
    when it is unknown, repeated, one of the two held-out items, or beyond the first 99. Raises DataError for a wrong
    structure or when more than half of the rows are lost.
    """
    table = Table(path, CSV)
    table.require(*COLUMNS)
    places = [table.header.index(name) for name in COLUMNS]
    tally = Tally(path, skipped)
    rows: dict[int, tuple[int, int, list[int]]] = {}
    for chunk in table.chunks(tally):
        cells = zip(*(chunk.columns[place] for place in places), strict=True)
        for line, (user, valid, test, negatives) in zip(chunk.lines.tolist(), cells, strict=True):
            reason = _why_not(user, valid, test, users, items, active, rows)
            if reason:
                tally.lose(line, reason)
                continue
            held = (items[valid] if valid else -1, items[test] if test else -1)
            rows[users[user]] = (*held, _negatives(negatives.split(), items, held, line, tally))
    tally.finish()
    return _columns(rows, len(users))


def _why_not(
    user: str,
    valid: str,
    test: str,
    users: Mapping[str, int],
    items: Mapping[str, int],
    active: NDArray[np.bool_],
    rows: Mapping[int, object],
) -> str:
    if not user or not (valid or test):
        return "missing cell"
    if user not in users:
        return "unknown user"
    if not active[users[user]]:
        return "user has no interactions"
    if users[user] in rows:
        return "duplicate row"
    if (valid and valid not in items) or (test and test not in items):
        return "unknown item"
    return "valid and test are the same item" if valid == test else ""


def _negatives(ids: list[str], items: Mapping[str, int], held: tuple[int, int], line: int, tally: Tally) -> list[int]:
    places = list(map(items.get, ids, repeat(-1)))
    distinct = set(places)
    if len(distinct) == len(places) <= MAX_NEGATIVES and distinct.isdisjoint((-1, *held)):
        return places
    kept: dict[int, None] = {}
    for id_ in ids:
        place = items.get(id_, -1)
        if place < 0:
            tally.trim(line, "unknown item among the negatives, dropped")
        elif place in held:
            tally.trim(line, "held-out item among its own negatives, dropped")
        elif place in kept:
            tally.trim(line, "repeated negative, dropped")
        elif len(kept) == MAX_NEGATIVES:
            tally.trim(line, f"more than {MAX_NEGATIVES} negatives, the rest dropped")
            break
        else:
            kept[place] = None
    return list(kept)


def _columns(rows: Mapping[int, tuple[int, int, list[int]]], users: int) -> LeaveOneOut:
    width = max((len(negatives) for _, _, negatives in rows.values()), default=0)
    valid = np.full(users, -1, dtype=np.int32)
    test = np.full(users, -1, dtype=np.int32)
    table = np.full((users, width), -1, dtype=np.int32)
    for user, (valid_item, test_item, negatives) in rows.items():
        valid[user], test[user] = valid_item, test_item
        table[user, : len(negatives)] = negatives
    return LeaveOneOut(valid, test, table)
