"""The k items with the largest inner products with a user, from the few dimensions that decide.

For every item the product over the dimensions where the user is largest is computed; what the other dimensions R can
add to it is bounded by Cauchy and Schwarz, |user_R| |item|.  Whatever cannot reach the k-th best found so far is left
out, and the rest, a few in a hundred at most, is scored in full.  So the result is that of a full pass, and most of the
table is never read (de Vries et al., "Efficient k-NN search on vertically decomposed data", SIGMOD 2002).

Scores in full come from the compact table itself, or from the vectors that it was made of: then the bound holds what
the table's rounding can take away too, and the result is that of the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import local
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.best import Best, Found, reaches
from fedrec.ranking.block_workers import BlockWorkers
from fedrec.ranking.compact_table import CompactTable
from fedrec.ranking.row_search import checked_user

Floats32 = NDArray[np.float32]

UNREAD: Final = 0.22
"""Dimensions are read until what the others can add is at most this share of what a score can be."""
NEARLY_ALL: Final = 0.8
"""From this share of the dimensions on all are read: then none has to be picked out."""
GROUP: Final = 8
"""Blocks whose bounds are looked at together: with so many items at once, looking costs little beside reading."""
PROMISING: Final = 256
"""Items of a group that are scored first, those that may score highest: they rule most of the others out."""
TOGETHER: Final = 2048
"""Items scored in full at once."""
_LOWEST: Final = np.finfo(np.float32).min


@dataclass(frozen=True, eq=False)
class _Query:
    """A user: ``chosen`` dimensions (None: all), and the ``weights`` of an item's reach, of 1, and of these."""

    user: Floats32
    chosen: NDArray[np.int64] | None
    weights: Floats32
    best: Best


class CompactSearch:
    """Searches a compact table.

    Args:
        table: only read.
        rows: float32 or float16 [items, width], the vectors that the table was made of, for the scores of those few
            that may be listed; None: they are scored by what the table stores.
        rest: how much of what unread dimensions can add is allowed for. 1: all, so that nothing is missed. Less is
            faster, since fewer are read, and misses items that owe their place to the unread dimensions.
        threads: see `BlockWorkers`.

    Raises:
        ModelError: rows that are not those of the table's items, or ``rest`` not above 0 and at most 1.
    """

    def __init__(
        self,
        table: CompactTable,
        rows: NDArray[np.floating] | None = None,
        *,
        rest: float = 1.0,
        threads: int | None = None,
    ) -> None:
        if rows is not None and rows.shape != (table.items, table.width):
            raise ModelError(f"the table is about {table.items} items of width {table.width}", value=rows.shape)
        if not 0 < rest <= 1:
            raise ModelError("what is allowed for is above 0 and at most 1", value=rest)
        self.table, self.rows = table, rows
        self._rest, self._kind = rest, table.kind
        self._workers = BlockWorkers(threads)
        self._space = local()

    def top(
        self,
        user: NDArray[np.floating],
        k: int,
        *,
        ties: NDArray[np.int64] | None = None,
        seen: NDArray[np.integer] | None = None,
    ) -> Found:
        """The k best of the items without those in ``seen``; see `RowSearch.top`.

        Raises:
            ModelError: k below 1, a user that is not finite or of another width, or a score that is not finite.
        """
        best = Best(k, ties=ties, seen=seen)
        query = self._query(checked_user(user, self.table.width), best)
        groups = -(-len(self.table.values) // GROUP)
        self._workers.run(groups, lambda group: self._search(group * GROUP, query))
        return best.found()

    def _query(self, user: Floats32, best: Best) -> _Query:
        squares = user.astype(np.float64) ** 2
        order = np.argsort(-squares, kind="stable")
        left = np.sqrt(np.maximum(squares.sum() - np.cumsum(squares[order]), 0.0))
        length = float(np.sqrt(squares.sum()))
        wanted = 1 + int(np.argmax(self._rest * left <= UNREAD * length)) if len(order) else 0
        whole = wanted >= NEARLY_ALL * len(order)
        chosen = None if whole else np.sort(order[:wanted])
        unread = 0.0 if whole else self._rest * float(left[wanted - 1])
        by_reach, by_one = self._rounding(user, length)
        told = user if chosen is None else user[chosen]
        weights = np.concatenate([np.array([unread + by_reach, by_one], dtype=np.float32), told])
        return _Query(user, chosen, weights, best)

    def _rounding(self, user: Floats32, length: float) -> tuple[float, float]:
        """How far a score may be off by rounding: by an item's reach, and for each item alike."""
        # Each product and sum in float32, twice: here and in the score that it is compared with.
        by_reach = 2.0 * (self.table.width + 4) * float(np.finfo(np.float32).eps) * length
        if self.rows is None or self._kind == "float32":
            return by_reach, 0.0
        if self._kind == "float16":
            return by_reach + length * 2.0**-11, float(np.abs(user).sum()) * 2.0**-25
        return by_reach, 0.5001 * float(np.abs(user).sum())

    def _search(self, first: int, query: _Query) -> None:
        """Search the blocks from the ``first`` of a group on."""
        start, best = first * self.table.block, query.best
        floats, space = self._spaces()
        for place, block in enumerate(range(first, min(first + GROUP, len(self.table.values)))):
            self._bound(block, query, floats, space[place])
        bounds = space.reshape(-1)[: self.table.items - start]
        least = best.least
        if not reaches(bounds, least):
            return
        # Before anything is listed all may be: the most promising are then chosen from one block.
        none = least == -np.inf
        near = np.arange(min(len(bounds), self.table.block)) if none else np.flatnonzero(bounds >= least)
        if none or len(near) > PROMISING:
            some = min(len(near), PROMISING)
            near = near[np.argpartition(bounds[near], len(near) - some)[-some:]]
            self._score(start + np.sort(near), query)
            bounds[near] = -np.inf
            near = np.flatnonzero(bounds >= max(best.least, _LOWEST))
        for begin in range(0, len(near), TOGETHER):
            part = near[begin : begin + TOGETHER]
            self._score(start + part[bounds[part] >= best.least], query)

    def _bound(self, block: int, query: _Query, floats: Floats32, bounds: Floats32) -> None:
        """What each item of a block scores at most, into ``bounds`` [block]."""
        table, read = self.table, len(query.weights) - 2
        part = table.values[block]
        np.copyto(floats[2 : read + 2], part if query.chosen is None else part[query.chosen])
        floats[0] = table.reach[block]
        np.dot(query.weights, floats[: read + 2], out=bounds)
        if self._kind == "int8":
            np.multiply(bounds, table.scale[block], out=bounds)

    def _score(self, places: NDArray[np.int64], query: _Query) -> None:
        """Score some items in full, and offer them."""
        places = query.best.unseen(places)
        if not len(places):
            return
        if self.rows is not None:
            scores = np.asarray(self.rows[places], dtype=np.float32) @ query.user
        else:
            block, inside = np.divmod(places, self.table.block)
            scores = self.table.values[block, :, inside].astype(np.float32) @ query.user
            scores *= self.table.scale[block, inside]
        reaches(scores, query.best.least)
        query.best.offer(places, scores)

    def _spaces(self) -> tuple[Floats32, Floats32]:
        """This thread's arrays: an item's reach, 1, and its chosen numbers as float32; and a group's bounds."""
        if not hasattr(self._space, "arrays"):
            floats = np.ones((self.table.width + 2, self.table.block), dtype=np.float32)
            self._space.arrays = floats, np.zeros((GROUP, self.table.block), dtype=np.float32)
        arrays: tuple[Floats32, Floats32] = self._space.arrays
        return arrays
