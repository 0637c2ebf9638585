"""A user's vector as a weighed sum over the history, kept as events come in."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError


class HistorySum:
    """sum over a user's items j of c_j ``history[j]``, c_j = (1 + a)^-recency where a of the user's events came later.

    An item met again counts once, as of its last time: the c_j are those of `fedrec.ranking.score.touched`.  A new
    event makes every other one older, so the sum is made anew of the user's rows, which are few; the catalogue is not
    touched.

    Args:
        history: float32 [items, width], in memory or mapped; only read.
        places: what the user met so far, in time order.
        recency: 0 or more.

    Raises:
        ModelError: an item beyond the catalogue.
    """

    def __init__(self, history: NDArray[np.float32], places: Iterable[int] = (), *, recency: float = 0.0) -> None:
        self._history, self._recency = history, recency
        self._events = 0
        self._last: dict[int, int] = {}
        for place in places:
            self.add(place)

    def add(self, place: int) -> None:
        """Take in one more event, the newest. Raises ModelError for an item beyond the catalogue."""
        if not 0 <= place < len(self._history):
            raise ModelError("the item is beyond the catalogue", value=place)
        self._last[place] = self._events
        self._events += 1

    def seen(self) -> NDArray[np.int64]:
        """The items met, each once."""
        return np.fromiter(self._last, dtype=np.int64, count=len(self._last))

    def vector(self) -> NDArray[np.float32]:
        """The sum as it is now: float32 [width]; zeros before the first event."""
        met = np.fromiter(self._last.values(), dtype=np.int64, count=len(self._last))
        weights = ((self._events - met).astype(np.float64) ** -self._recency).astype(np.float32)
        return np.asarray(weights @ self._history[self.seen()], dtype=np.float32)
