"""The best items of one list while a catalogue goes by, block after block and from several threads."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found, best first: ``places`` int64 [n] in the catalogue and their ``scores`` float32 [n], where n
    is k, or fewer where fewer items are left."""

    places: NDArray[np.int64]
    scores: NDArray[np.float32]


class Best:
    """The k best items so far. Of two with one score the one with the lower tie-break comes first.

    It holds k places and scores, however many were offered. Threads may offer at the same time: what is found does not
    depend on their order.

    Args:
        k: at least 1.
        ties: int64 [items], no two equal, see `fedrec.ranking.topk.id_order`; None: the order of the catalogue.
        seen: places that are never listed, in any order.

    Raises:
        ModelError: k below 1.
    """

    def __init__(
        self, k: int, *, ties: NDArray[np.int64] | None = None, seen: NDArray[np.integer] | None = None
    ) -> None:
        if k < 1:
            raise ModelError("a list has at least one place", value=k)
        self._k, self._ties = k, ties
        self._seen = np.zeros(0, dtype=np.int64) if seen is None else np.unique(np.asarray(seen, dtype=np.int64))
        self._lock = Lock()
        self._places = np.zeros(0, dtype=np.int64)
        self._scores = np.zeros(0, dtype=np.float32)
        self.least = np.float32(-np.inf)
        """What an item must score to be listed yet. It only ever rises, so an older value loses nothing."""

    def unseen(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of the places that may be listed, in the order given."""
        if not len(self._seen) or not len(places):
            return places
        at = np.minimum(np.searchsorted(self._seen, places), len(self._seen) - 1)
        return np.asarray(places[self._seen[at] != places])

    def offer(self, places: NDArray[np.int64], scores: NDArray[np.float32]) -> None:
        """Take in places that may be listed, none offered before, with a finite score each."""
        high = scores >= self.least
        if not high.any():
            return
        with self._lock:
            joined = np.concatenate([self._places, places[high]])
            values = np.concatenate([self._scores, scores[high]])
            if len(joined) > 4 * self._k:  # what is below the k-th best need not be sorted
                kth = np.partition(values, len(values) - self._k)[-self._k]
                joined, values = joined[values >= kth], values[values >= kth]
            ties = joined if self._ties is None else self._ties[joined]
            first = np.lexsort((ties, -values))[: self._k]
            self._places, self._scores = joined[first], values[first]
            if len(first) == self._k:
                self.least = self._scores[-1]

    def found(self) -> Found:
        """What is best of all that was offered."""
        return Found(self._places, self._scores)


def reaches(scores: NDArray[np.float32], least: np.float32) -> bool:
    """Whether any of the scores is ``least`` or more; False of none.

    Raises:
        ModelError: a score is NaN or +inf.
    """
    if not len(scores):
        return False
    highest = scores.max()
    if np.isnan(highest) or highest == np.inf:
        raise ModelError("a score is not finite", action="Look for a diverged model; rank nothing with it")
    return bool(highest >= least)
