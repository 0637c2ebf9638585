"""What no attack can exceed: the largest AUC of telling apart two populations that a private release was made of.

A membership attack is a test of hypotheses, and differential privacy bounds the power of every test (Dong, Roth and Su
2022, "Gaussian Differential Privacy", sections 2.1 and 2.4).  The bound holds for the worst user and an adversary who
knows all others; a real attack that stays far below it says little about the next attack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedrec.privacy import accountant
from fedrec.privacy.accountant import QueryCost

# Any grids give a valid bound; finer ones a tighter one.
_EPSILONS = (0.0, *np.geomspace(1e-3, 50.0, 80))
_STEPS = 4000


def greatest_auc(costs: Sequence[QueryCost], *, changed: int = 1) -> float:
    """The largest AUC that an attack on all releases together can have.

    Exactly Phi(k mu / sqrt 2) with mu^2 the sum of participations / z^2 where costs compose exactly; elsewhere, as with
    amplification, an upper bound from the curve of epsilon and delta.

    Args:
        costs: of the run; none = nothing is private, 1.
        changed: rows by which the two populations differ: 1 where a user is there or not, 2 where it is there or
            another in its place.
    """
    if not costs:
        return 1.0
    if all(cost.exact for cost in costs):
        return float(ndtr(changed / accountant.equivalent_noise(costs) / math.sqrt(2)))
    curve = np.array([(epsilon, accountant.delta(costs, epsilon)) for epsilon in _EPSILONS])
    power = np.arange(1, _STEPS + 1) / _STEPS
    for _ in range(changed):
        power = _power(curve, power)
    # The power never falls with the level, so its values at right ends are above the area.
    return float(power.mean())


def _power(curve: NDArray[np.float64], level: NDArray[np.float64]) -> NDArray[np.float64]:
    """The most true positives at a rate of false positives, for every (epsilon, delta) of the curve in both ways."""
    growth, slack = np.exp(curve[:, :1]), curve[:, 1:]
    return np.asarray(np.clip(np.minimum(slack + growth * level, 1 - (1 - slack - level) / growth).min(0), level, 1))
