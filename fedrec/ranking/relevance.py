"""Metrics for users with several relevant items: precision, recall, NDCG and average precision, ties half.

All are means over the orders of tied items. Precision, recall and DCG are sums over the relevant items, so their means
are exact item by item; average precision needs the joint law of a tie group (McSherry & Najork 2008, section 3.3).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

Floats = NDArray[np.float64]


def precision(scores: NDArray[np.floating], relevant: NDArray[np.bool_], k: int) -> Floats:
    """Precision@k per user, 0 to 1: relevant items among the first k, divided by k.

    Args:
        scores: [users, candidates], finite; ``-inf`` marks what is not a candidate.
        relevant: bool, the same shape.
        k: at least 1.
    """
    return _gained(scores, relevant, np.ones(_checked(k))) / k


def recall(scores: NDArray[np.floating], relevant: NDArray[np.bool_], k: int) -> Floats:
    """Recall@k per user, 0 to 1: the part of the relevant items among the first k. NaN for a user without any."""
    count = _count(scores, relevant)
    with np.errstate(invalid="ignore"):
        return np.asarray(_gained(scores, relevant, np.ones(_checked(k))) / np.where(count > 0, count, np.nan))


def ndcg(scores: NDArray[np.floating], relevant: NDArray[np.bool_], k: int) -> Floats:
    """NDCG@k per user, 0 to 1, binary gains; the ideal list has min(k, relevant) items. NaN without any."""
    gains = 1.0 / np.log2(np.arange(2.0, _checked(k) + 2.0))
    ideal = np.concatenate([[np.nan], np.cumsum(gains)])[np.minimum(_count(scores, relevant).astype(np.int64), k)]
    return np.asarray(_gained(scores, relevant, gains) / ideal)


def average_precision(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Floats:
    """AP per user, 0 to 1: the mean over relevant items of the precision at their places. MAP is its mean. NaN
    without any relevant item."""
    _check(scores, relevant)
    return np.array([_one_ap(row, good) for row, good in zip(scores, relevant, strict=True)], dtype=np.float64)


def _one_ap(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> float:
    keep = scores > -np.inf
    scores, relevant = scores[keep], relevant[keep]
    if not relevant.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(scores[order]) != 0]))
    sizes = np.diff(np.append(starts, len(order)))
    good = np.add.reduceat(relevant[order].astype(np.float64), starts)
    group = np.repeat(np.arange(len(starts)), sizes)
    within = np.arange(len(order)) - starts[group]
    n, r, before = sizes[group], good[group], (np.cumsum(good) - good)[group]
    # At a place of the group the item is relevant with probability r/n; then the `within` places above it in the
    # group hold within * (r-1)/(n-1) relevant ones on average.
    above = within * (r - 1) / np.maximum(n - 1, 1)
    at_place = np.where(r > 0, r / n * (before + 1 + above), 0.0)
    return float(np.sum(at_place / np.arange(1, len(order) + 1)) / good.sum())


def _gained(scores: NDArray[np.floating], relevant: NDArray[np.bool_], gains: Floats) -> Floats:
    """Sum over each user's relevant items of the mean gain at its place."""
    _check(scores, relevant)
    total = np.concatenate([[0.0], np.cumsum(gains)])
    ascending = np.sort(scores, axis=1)
    width = scores.shape[1]
    out = np.zeros(len(scores), dtype=np.float64)
    for user, row in enumerate(ascending):
        wanted = scores[user, relevant[user]]
        wanted = wanted[wanted > -np.inf]
        better = width - np.searchsorted(row, wanted, side="right")
        ties = width - np.searchsorted(row, wanted, side="left") - better
        first, last = np.minimum(better, len(gains)), np.minimum(better + ties, len(gains))
        out[user] = np.sum((total[last] - total[first]) / ties)
    return out


def _count(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Floats:
    return np.asarray(np.count_nonzero(relevant & (scores > -np.inf), axis=1), dtype=np.float64)


def _check(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> None:
    if scores.ndim != 2 or scores.shape != relevant.shape:
        raise ModelError("scores and relevance are two tables of one shape", value=(scores.shape, relevant.shape))
    if np.isnan(scores).any() or (scores == np.inf).any():
        raise ModelError("a score is not finite", action="Look for a diverged model; rank nothing with it")


def _checked(k: int) -> int:
    if k < 1:
        raise ModelError("k counts the places that matter and is at least 1", value=k)
    return k
