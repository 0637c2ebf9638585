"""The device's half of query ``validation``: what each user says of the tower's ranking of the own validation item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError
from fedrec.queries.device.encoder import EncoderContext, Floats, QueryEncoder
from fedrec.queries.device.scoring import KeptScorer
from fedrec.queries.query import vector_of
from fedrec.queries.request import Request
from fedrec.queries.validation import pool
from fedrec.ranking import metrics
from fedrec.ranking.context import with_context
from fedrec.users import Histories, UserBatch

if TYPE_CHECKING:
    from fedrec.ranking.tower import TowerScorer


class ValidationEncoder(QueryEncoder):
    """Ranks the validation item with the tower alone."""

    def __init__(self, context: EncoderContext) -> None:
        super().__init__(context)
        self._scorers = KeptScorer(context.config, context.features)

    def check(self, request: Request) -> None:
        """Raises as `encode`."""
        self._tower(request)

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """Sum of `validation_rows` over users, in units of the sum's element bound.

        Raises:
            ProtocolError: there are no parameters, these settings have no tower, or it is beyond all numbers.
            ModelError: they fit no model.
        """
        tower = self._tower(request)
        from fedrec.ranking.score import users_at_once

        against = pool(self.config, len(self.features))
        known, total = with_context(population, self.config.model.history), np.zeros(request.sum.length)
        step = users_at_once(len(self.features))
        for start in range(0, len(population), step):
            users = np.arange(start, min(start + step, len(population)))
            block = known.take(users)
            scores = tower.scores(block)
            total += validation_rows(scores, block.histories, block.targets, against).sum(axis=0)
        return total * request.sum.element_bound

    def _tower(self, request: Request) -> TowerScorer:
        vector_of(request, "parameters")
        tower = self._scorers.of(request.arrays).tower
        if tower is None:
            raise ProtocolError("validation is asked of a model without a tower", value=request.round)
        return tower


def validation_rows(
    scores: NDArray[np.float32],
    training: Histories,
    target: NDArray[np.int32],
    against: NDArray[np.int32],
    *,
    k: int = 10,
) -> Floats:
    """Rows [HR@k, share of the negatives below] of each user's held-out item against public negatives.

    Args:
        scores: [users, items]; a user with one that is not finite adds zeros.
        training: the items of each user in training; none of them is a candidate.
        target: int [users], the held-out item; -1 = the user has none and adds zeros.
        against: int [n], places of the negatives.

    Returns:
        float64 [users, 2], every entry in 0 to 1; ties count half.
    """
    rows = np.zeros((len(target), 2), dtype=np.float64)
    held = np.flatnonzero((target >= 0) & np.isfinite(scores).all(axis=1))
    if len(held):
        touched = np.zeros(scores.shape, dtype=np.bool_)
        touched[training.owners, training.items] = True
        candidates = ~touched[held][:, against] & (against[None, :] != target[held, None])
        at = metrics.standing(scores[held, target[held]], scores[held][:, against], candidates)
        rows[held] = np.stack([metrics.hit_rate(at, k), np.nan_to_num(metrics.auc(at))], axis=1)
    return rows
