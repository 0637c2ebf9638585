"""The top of a list: the best items that a user has not seen, with ties broken the same way everywhere."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.users import Histories


def id_order(ids: Sequence[str]) -> NDArray[np.int64]:
    """Place of each id among the sorted ids, int64 [items]: the tie-break that every device agrees on."""
    if all(map(operator.lt, ids, islice(ids, 1, None))):  # as catalogues mostly are
        return np.arange(len(ids))
    order = np.empty(len(ids), dtype=np.int64)
    order[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return order


def without_seen(scores: NDArray[np.float32], seen: Histories) -> NDArray[np.float32]:
    """A copy of ``scores`` [users, items] with -inf where the user has seen the item."""
    seen.check(scores.shape[1])
    left = scores.copy()
    left[seen.owners, seen.items] = -np.inf
    return left


def top_k(scores: NDArray[np.float32], k: int, *, order: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """The k best items of each user, best first.

    Args:
        scores: [users, items]; -inf marks an item that must not be listed (seen before, or not a candidate).
        k: at least 1.
        order: int64 [items], no two equal: of two items with one score the one with the lower entry comes first, see
            `id_order`. None: the order of the catalogue.

    Returns:
        int32 [users, k] places, padded with -1 where fewer than k items are left.

    Raises:
        ModelError: k below 1, or a score that is NaN or +inf.
    """
    if k < 1:
        raise ModelError("a list has at least one place", value=k)
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ModelError("a score is not finite", action="Look for a diverged model; rank nothing with it")
    users, items = scores.shape
    top = np.full((users, k), -1, dtype=np.int32)
    if items == 0 or users == 0:
        return top
    ties = np.arange(items) if order is None else order
    kept = min(k, items)
    least = np.partition(scores, items - kept, axis=1)[:, items - kept]
    for user in range(users):
        best = _best(scores[user], least[user], kept, ties)
        top[user, : len(best)] = best
    return top


def _best(scores: NDArray[np.float32], least: np.float32, kept: int, ties: NDArray[np.int64]) -> NDArray[np.int64]:
    """The ``kept`` best places, given the kept-th best score."""
    if least == -np.inf:
        chosen = np.flatnonzero(scores > -np.inf)
        return chosen[np.lexsort((ties[chosen], -scores[chosen]))]
    above = np.flatnonzero(scores > least)
    level = np.flatnonzero(scores == least)
    above = above[np.lexsort((ties[above], -scores[above]))]
    need = kept - len(above)
    if len(level) > need:
        level = level[np.argpartition(ties[level], need - 1)[:need]]
    return np.concatenate([above, level[np.argsort(ties[level])]])
