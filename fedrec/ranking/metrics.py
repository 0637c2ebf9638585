"""How good a ranking is. Ties count half: a metric is its mean over every order in which tied items could come.

A scorer that gives every item the same score therefore gets what chance gets (HR@10 = 0.10 among 100 candidates, AUC =
0.5), and cannot win by how a sort happens to break ties. McSherry & Najork, "Computing information retrieval
performance measures efficiently in the presence of tied scores" (ECIR 2008), section 3, derives these means; for a
single positive they reduce to the closed forms below.

A *standing* says where a positive is: ``better`` items score strictly higher, ``equal`` others score the same. Its
place (1 = best) is then uniform on ``better + 1 ... better + equal + 1``, and its mean ``1 + better + equal / 2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Standing:
    """Where one positive per user stands among its candidates.

    Args:
        better: int64 [users], candidates that score strictly higher.
        equal: int64 [users], other candidates with the same score.
        candidates: int64 [users], all candidates, the positive included.
    """

    better: NDArray[np.int64]
    equal: NDArray[np.int64]
    candidates: NDArray[np.int64]

    @property
    def rank(self) -> Floats:
        """Mean place of the positive, 1 for the best: float64 [users]."""
        return 1.0 + self.better + 0.5 * self.equal

    def take(self, chosen: NDArray[np.bool_]) -> Standing:
        """The standings of some users only: bool [users]."""
        return Standing(self.better[chosen], self.equal[chosen], self.candidates[chosen])

    @classmethod
    def join(cls, parts: Sequence[Standing]) -> Standing:
        """The standings of several blocks of users, one after the other."""
        none = np.zeros(0, dtype=np.int64)
        better, equal, candidates = (
            np.concatenate([none, *(getattr(part, name) for part in parts)])
            for name in ("better", "equal", "candidates")
        )
        return cls(better, equal, candidates)


def standing(target: NDArray[np.float32], others: NDArray[np.float32], mask: NDArray[np.bool_]) -> Standing:
    """Compare each user's positive with its other candidates.

    Args:
        target: [users] score of the positive.
        others: [users, candidates - 1] scores of the rest.
        mask: bool, the shape of ``others``; False entries are not candidates and may hold anything.

    Raises:
        ModelError: a score of a candidate is not finite (it would make the comparison meaningless).
    """
    if not np.isfinite(target).all() or np.any(~np.isfinite(others) & mask):
        raise ModelError("a score is not finite", action="Look for a diverged model; rank nothing with it")
    better = np.count_nonzero((others > target[:, None]) & mask, axis=1)
    equal = np.count_nonzero((others == target[:, None]) & mask, axis=1)
    return Standing(better=better, equal=equal, candidates=np.count_nonzero(mask, axis=1) + 1)


def hit_rate(at: Standing, k: int) -> Floats:
    """HR@k per user, 0 to 1: the probability that the positive is among the first k."""
    _need_k(k)
    return np.clip((k - at.better) / (at.equal + 1.0), 0.0, 1.0)


def ndcg(at: Standing, k: int) -> Floats:
    """NDCG@k per user, 0 to 1, for one positive: the mean of 1 / log2(place + 1) where place <= k."""
    _need_k(k)
    return _mean_gain(at, 1.0 / np.log2(np.arange(2.0, k + 2.0)))


def reciprocal_rank(at: Standing, k: int | None = None) -> Floats:
    """MRR(@k) per user, 0 to 1: the mean of 1 / place (where place <= k; no limit with None)."""
    depth = int(at.candidates.max(initial=1)) if k is None else k
    _need_k(depth)
    return _mean_gain(at, 1.0 / np.arange(1.0, depth + 1.0))


def auc(at: Standing) -> Floats:
    """AUC per user, 0 to 1: the part of the other candidates below the positive, ties half. NaN without any other."""
    others = (at.candidates - 1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(1.0 - (at.better + 0.5 * at.equal) / np.where(others > 0, others, np.nan))


def _mean_gain(at: Standing, gains: Floats) -> Floats:
    """Mean of ``gains[place - 1]`` (0 beyond its end) over the places that the tie group can take."""
    total = np.concatenate([[0.0], np.cumsum(gains)])
    first = np.minimum(at.better, len(gains))
    last = np.minimum(at.better + at.equal + 1, len(gains))
    return np.asarray((total[last] - total[first]) / (at.equal + 1.0))


def _need_k(k: int) -> None:
    if k < 1:
        raise ModelError("k counts the places that matter and is at least 1", value=k)
