"""A list in another order than by score alone: by the user's own bandit, or with more variety.

A module of its own, since a device starts anew for each list, and most lists need none of it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedrec.client.bandit_state import bandit_of
from fedrec.data.store import EventStore
from fedrec.ranking.bandit import CANDIDATES, explored
from fedrec.ranking.rerank import mmr
from fedrec.release.bundle import Release


class Reorderable(Protocol):
    """What is read of a `fedrec.client.ranker.Ranker`."""

    release: Release

    @property
    def content(self) -> NDArray[np.float32]: ...
    @property
    def vectors(self) -> NDArray[np.float64]: ...
    def best(self, scores: NDArray[np.float32], top: int) -> NDArray[np.int32]: ...


def reordered(
    ranker: Reorderable,
    store: EventStore,
    user: str,
    scores: NDArray[np.float32],
    top: int,
    explore: float | None,
    variety: float,
) -> NDArray[np.int32]:
    """Places of ``top`` of the best items, in the order of the bandit, or by variety; see
    `fedrec.client.ranker.Ranker.recommend`.

    ``scores``: float32 [1, items], -inf what is not to be listed.

    Raises:
        ModelError: ``top`` is below 1, or ``variety`` is not from 0 to 1.
    """
    found = ranker.best(scores, max(top, CANDIDATES))
    if explore is None:
        return mmr(found, scores[0, found], ranker.content, top, variety=variety)
    bandit = bandit_of(store, user, ranker.release.id, 1 + ranker.vectors.shape[1])
    return explored(bandit, ranker.vectors, scores[0], found, explore)[:top]
