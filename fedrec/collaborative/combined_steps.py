"""What all steps of private power iteration told, as if it were one: nothing that was paid for is thrown away.

Step k asked for G U_k, G being the users' centred co-occurrence, and opened A_k = c_k G U_k + noise of deviation
sigma_k in each entry.  Side by side, each divided by its sigma, the columns U = [U_1 / sigma_1, U_2 / sigma_2, ...] and
A alike hold A = G U + noise of deviation 1.  With U = Q S V^T the least-squares estimate of G Q is A V S^-1, with noise
1 / s in column s, independent from column to column (Aitken 1935, "On Least Squares and Linear Combination of
Observations").  So A V is one step that asked for U V = Q S and has noise of deviation 1 in each entry: what is made of
a step can be made of all.

c_k: a user's position is brought to length 1, so each step weighs users, and with them everything, a little otherwise.
G is symmetric, and so U_j^T A_k and A_j^T U_k differ by c_k / c_j and by noise, from which the ratio is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.collaborative.tall import directions_of, gram, may_be_square, squared_lengths, times

Floats = NDArray[np.float64]
# Columns that are kept, as a multiple of the last step's: the others hold little, and time grows with them.  Of a
# catalogue for which memory counts it is 1.
_KEPT: Final = 2
# Where the ratio of two steps' scales is beyond these it is noise.
_LEAST_RATIO: Final = 0.25
_MOST_RATIO: Final = 4.0


@dataclass(frozen=True, eq=False)
class StepSum:
    """One opened step. ``opened``: [items, r], what was asked for with ``asked``, with noise of deviation ``sigma``,
    above 0, in each entry."""

    asked: ProjectionDirections
    opened: Floats
    sigma: float


def combined_steps(steps: Sequence[StepSum]) -> StepSum:
    """All steps as one of deviation 1, in the scale of the last; of at most twice as many columns as the last,
    or as many where the catalogue is large.

    Args:
        steps: one or more, over the same items, with the same centre and the same weights of items.
    """
    last = steps[-1]
    items, width = last.opened.shape
    weights = np.ones(items) if last.asked.weights is None else last.asked.weights
    scales = [1 / (step.sigma * (1.0 if step is last else _ratio(step, last, weights))) for step in steps]
    sides = [step.asked.vectors for step in steps]
    together = np.block(
        [[a * b * gram(u, v) for b, v in zip(scales, sides, strict=True)] for a, u in zip(scales, sides, strict=True)]
    )
    turn, _ = directions_of(together, (_KEPT if may_be_square(items) else 1) * width)
    vectors, opened = np.zeros((2, items, turn.shape[1]))
    start = 0
    for step, scale in zip(steps, scales, strict=True):
        mine = turn[start : start + step.opened.shape[1]]
        start += len(mine)
        vectors += times(step.asked.vectors, mine * scale)
        opened += times(step.opened, mine / step.sigma)
    return StepSum(replace(last.asked, vectors=vectors), opened, 1.0)


def _ratio(step: StepSum, last: StepSum, weights: Floats) -> float:
    """By what ``step.opened`` has to be multiplied to be of the scale of the last: 1 where noise leaves nothing."""
    inverse = 1.0 / weights
    here = gram(last.asked.vectors, step.opened, weights=inverse)
    there = gram(last.opened, step.asked.vectors, weights=inverse)
    noise = step.sigma**2 * float((squared_lengths(last.asked.vectors) * inverse**2).sum()) * here.shape[1]
    power = float((here**2).sum()) - noise
    ratio = float((here * there).sum()) / power if power > 0 else 1.0
    return ratio if _LEAST_RATIO < ratio < _MOST_RATIO else 1.0
