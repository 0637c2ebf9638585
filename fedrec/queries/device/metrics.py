"""The device's half of query ``metrics``: what each user adds to a private sum of quality figures."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.queries.chosen import settled
from fedrec.queries.device.encoder import EncoderContext, Floats, QueryEncoder
from fedrec.queries.device.scoring import KeptScorer
from fedrec.queries.request import Request
from fedrec.ranking import metrics
from fedrec.ranking.context import with_context
from fedrec.ranking.protocols import full_standing
from fedrec.users import Histories, UserBatch

LENGTH: Final = 3


class MetricsEncoder(QueryEncoder):
    """Ranks with the finished model, and tells how well."""

    def __init__(self, context: EncoderContext) -> None:
        super().__init__(context)
        self._scorers = KeptScorer(context.config, context.features)

    def check(self, request: Request) -> None:
        """Raises as `KeptScorer.of`."""
        self._scorers.of(request.arrays, settled(self.config, request))

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """Sum of `metric_rows` over users. Raises ModelError where what is scored with fits no model."""
        scorer = self._scorers.of(request.arrays, settled(self.config, request))
        total = np.zeros(request.sum.length)
        for users, scores in scorer.blocks(with_context(population, self.config.model.history)):
            training = population.histories.take(users)
            total += metric_rows(scores, training, population.targets[users]).sum(axis=0)
        return total


def metric_rows(
    scores: NDArray[np.float32],
    training: Histories,
    target: NDArray[np.int32],
    other: NDArray[np.int32] | None = None,
    *,
    k: int = 10,
) -> Floats:
    """Rows [HR@k, NDCG@k, 1] of each user's held-out item against all that the user has not touched.

    Args:
        scores: [users, items]; a user with one that is not finite adds zeros.
        training: the items of each user in training; no candidates.
        target: int [users], the held-out item; -1 = the user has none and adds zeros.
        other: int [users], another held-out item that is no candidate; -1 = none.

    Returns:
        float64 [users, 3], every entry in 0 to 1, so the L2 norm of a row is at most sqrt(3).

    Raises:
        ModelError: an item lies beyond the catalogue.
    """
    rows = np.zeros((len(target), LENGTH), dtype=np.float64)
    held = np.flatnonzero((target >= 0) & np.isfinite(scores).all(axis=1))
    if len(held):
        without = np.full(len(target), -1, dtype=np.int32) if other is None else other
        at = full_standing(scores[held], training.take(held), target[held], without[held])
        rows[held] = np.stack([metrics.hit_rate(at, k), metrics.ndcg(at, k), np.ones(len(held))], axis=1)
    return rows
