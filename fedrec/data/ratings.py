"""Ratings: which events are positive, and which rating of an item counts. One rule for data sets and devices.

An event is positive where its rating is at least ``data.positive_ratings``, and where it has none: without a rating
nobody said that it was disliked.  An item that was rated twice is positive where one of its events is, and its rating
is the first one.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedrec.data.membership import among, first_places
from fedrec.data.schema import TEST, VALID, Interactions

PositiveRatings = Literal["all"] | float


def is_positive(ratings: NDArray[np.floating], rule: PositiveRatings) -> NDArray[np.bool_]:
    """Which events with these ratings are positive; bool [n]. ``ratings``: [n], NaN where there is none.

    ``rule``: ``data.positive_ratings``.
    """
    least = -np.inf if rule == "all" else float(rule)
    return np.asarray(np.isnan(ratings) | (ratings >= least), dtype=np.bool_)


def rated_rows(
    table: Interactions,
    items: int,
    positive: NDArray[np.int64],
    trains: NDArray[np.int64],
    held_out: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> NDArray[np.int64]:
    """The rows of a table whose rating a device knows, one for each user and item: int64 [n], ascending.

    Args:
        table: of interactions. items: of the catalogue, at least 1.
        positive: one row for each pair of user and item that is positive.
        trains: those of them that train; of the others, which are held out or used for nothing, no rating counts.
        held_out: the validation and the test item of each user, int32 [users], -1 where none.
    """
    open_ = ~np.isnan(table.rating) & (table.split != VALID) & (table.split != TEST)
    for held in held_out:
        open_ &= table.item != held[table.user]
    if not open_.any():
        return np.zeros(0, dtype=np.int64)
    rows = np.flatnonzero(open_)
    pair = table.user.astype(np.int64) * items + table.item
    rows = rows[first_places(pair[rows])]
    known = among(pair[rows], pair[trains]) | ~among(pair[rows], pair[positive])
    return rows[known].astype(np.int64)
