"""An optional re-ranker that learns on the device from what its user clicks: a contextual bandit.

LinUCB of Li, Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article recommendation"
(WWW 2010), Algorithm 1, with one linear model a user: an arm's context is its item's vector, so what is learned about
one item says something about all that are like it.  A further coordinate is how relevant the shared ranking finds the
item, and the model starts from the belief that this is all that matters.  So at first the list is the shared ranking,
but for what exploring adds, and every click or its absence moves it towards what this user takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError
from fedrec.ranking.score import Scorer

Floats = NDArray[np.float64]
CANDIDATES = 50


@dataclass(frozen=True, eq=False)
class Bandit:
    """What is believed of one user: private, and never a part of anything that leaves the device.

    ``matrix``: float64 [d, d], the identity and the sum of x x^T over all that was shown (A of Algorithm 1).
    ``vector``: float64 [d], A times the first belief, and the sum of reward * x (b of Algorithm 1).
    """

    matrix: Floats
    vector: Floats

    @classmethod
    def fresh(cls, width: int) -> Bandit:
        """Nothing seen yet, about contexts of ``width`` numbers, the first of which is relevance."""
        if width < 1:
            raise ModelError("a bandit's context has at least its relevance", value=width)
        return cls(np.eye(width), np.eye(width)[0])

    def heard(self, contexts: Floats, rewards: Floats) -> Bandit:
        """After so many items were shown: contexts [n, d] and what each brought, [n], in 0 to 1.

        Raises:
            ModelError: contexts or rewards that do not fit, or are not finite.
        """
        if contexts.shape != (len(rewards), len(self.vector)) or not np.isfinite(contexts).all():
            raise ModelError("contexts do not fit this bandit", value=contexts.shape)
        if not ((rewards >= 0) & (rewards <= 1)).all():
            raise ModelError("a reward is between 0 and 1", value=rewards.tolist())
        return Bandit(self.matrix + contexts.T @ contexts, self.vector + contexts.T @ rewards)

    def values(self, contexts: Floats, explore: float) -> Floats:
        """The upper confidence bound of each context [n, d]: x theta + explore sqrt(x A^-1 x), float64 [n].

        ``explore``: alpha of Algorithm 1, from 0.
        """
        if not 0 <= explore < float("inf"):
            raise ModelError("explore is from 0", value=explore)
        solved = np.linalg.solve(self.matrix, np.column_stack([self.vector, contexts.T]))
        spread = np.sqrt(np.maximum((contexts * solved[:, 1:].T).sum(axis=1), 0.0))
        return np.asarray(contexts @ solved[:, 0] + explore * spread)


def item_vectors(scorer: Scorer) -> Floats:
    """What items are told apart by, float64 [items, width], each of length 1 or 0: vectors of the tower, or, where a
    release has none, of the collaborative factors; of no width where it has neither."""
    if scorer.tower is not None:
        found = scorer.tower.vectors().numpy().astype(np.float64)
    elif scorer.collaborative is not None:
        found = scorer.collaborative.candidate.astype(np.float64)
    else:
        found = np.zeros((scorer.items, 0))
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.where(length > 0, length, 1.0))


def contexts_of(vectors: Floats, scores: NDArray[np.float32], places: NDArray[np.integer]) -> Floats:
    """Contexts of some items, float64 [n, 1 + width].

    Args:
        vectors: see `item_vectors`.
        scores: [items] of one user, -inf for what is no candidate.
        places: of the items.  Relevance is the score brought to 0 ... 1 over the user's best `CANDIDATES`.
    """
    best = np.sort(scores[np.isfinite(scores)].astype(np.float64))[-CANDIDATES:]
    low, high = (best[0], best[-1]) if len(best) else (0.0, 0.0)
    relevance = np.clip((scores[places].astype(np.float64) - low) / (high - low if high > low else 1.0), 0.0, 1.0)
    return np.column_stack([relevance, vectors[places]])


def explored(
    bandit: Bandit, vectors: Floats, scores: NDArray[np.float32], candidates: NDArray[np.integer], explore: float
) -> NDArray[np.int32]:
    """The candidates in the order of their upper confidence bound; of equals the one that came first stays first.

    Args:
        bandit: of this user.
        vectors: see `item_vectors`.
        scores: [items] of the shared ranking, for this user.
        candidates: [n] places, best first; typically the top `CANDIDATES`.
        explore: see `Bandit.values`.
    """
    values = bandit.values(contexts_of(vectors, scores, candidates), explore)
    return candidates[np.argsort(-values, kind="stable")].astype(np.int32)
