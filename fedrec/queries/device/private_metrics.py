"""The device's half of the queries metrics and validation: what each user adds to a private sum of quality figures.

The sum of the rows divided by its last number is the mean quality. A row is bounded, so it goes through the same door
as everything else that leaves a device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.data.users import Histories
from fedrec.ranking import metrics
from fedrec.ranking.protocols import full_standing

LENGTH = 3
BOUND = float(np.sqrt(3.0))


def metric_contribution(
    scores: NDArray[np.float32],
    training: Histories,
    target: NDArray[np.int32],
    other: NDArray[np.int32] | None = None,
    *,
    k: int = 10,
) -> NDArray[np.float64]:
    """Rows [HR@k, NDCG@k, 1] of each user's held-out item against all that the user has not touched.

    Args:
        scores: [users, items], finite.
        training: the items of each user in training; no candidates.
        target: int [users], the held-out item; -1 = the user has none and adds zeros.
        other: int [users], another held-out item that is no candidate; -1 = none.

    Returns:
        float64 [users, `LENGTH`], every entry in 0 to 1, so the L2 norm of a row is at most `BOUND`.

    Raises:
        ModelError: a score is not finite, or an item lies beyond the catalogue.
    """
    rows = np.zeros((len(target), LENGTH), dtype=np.float64)
    held = np.flatnonzero(target >= 0)
    if len(held):
        without = np.full(len(target), -1, dtype=np.int32) if other is None else other
        at = full_standing(scores[held], training.take(held), target[held], without[held])
        rows[held] = np.stack([metrics.hit_rate(at, k), metrics.ndcg(at, k), np.ones(len(held))], axis=1)
    return rows


def validation_contribution(
    scores: NDArray[np.float32],
    training: Histories,
    target: NDArray[np.int32],
    pool: NDArray[np.int32],
    *,
    k: int = 10,
) -> NDArray[np.float64]:
    """Rows [HR@k, share of the pool below] of each user's held-out item against a pool of public negatives.

    Args:
        scores: [users, items], finite.
        training: the items of each user in training; none of them is a candidate.
        target: int [users], the held-out item; -1 = the user has none and adds zeros.
        pool: int [n], places of the negatives.

    Returns:
        float64 [users, 2], every entry in 0 to 1; ties count half.

    Raises:
        ModelError: a score is not finite.
    """
    rows = np.zeros((len(target), 2), dtype=np.float64)
    held = np.flatnonzero(target >= 0)
    if len(held):
        touched = np.zeros(scores.shape, dtype=np.bool_)
        touched[training.owners, training.items] = True
        against = ~touched[held][:, pool] & (pool[None, :] != target[held, None])
        at = metrics.standing(scores[held, target[held]], scores[held][:, pool], against)
        rows[held] = np.stack([metrics.hit_rate(at, k), np.nan_to_num(metrics.auc(at))], axis=1)
    return rows
