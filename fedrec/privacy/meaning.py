"""What an epsilon means for a person: the best that a test of membership can do.

The advantage of a test is its true positive rate minus its false positive rate; 0 is guessing, 1 is certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import ndtr

from fedrec.privacy.accountant import QueryCost, equivalent_noise


def odds_ratio(epsilon: float) -> float:
    """By which factor, at most, the odds of anybody's guess about one unit can change, but for the chance of delta."""
    return math.exp(min(epsilon, 700.0))


def advantage(epsilon: float, delta: float) -> float:
    """The best advantage of any test of membership against (epsilon, delta), 0 to 1.

    Kairouz, Oh and Viswanath, "The composition theorem for differential privacy" (ICML 2015), theorem 2.1: the region
    of tests has its corner there.
    """
    e = odds_ratio(epsilon)
    return (e - 1 + 2 * delta) / (e + 1)


def exact_advantage(costs: Sequence[QueryCost]) -> float | None:
    """The best advantage against Gaussian sums: 2 Phi(1 / 2z) - 1, exact; None where costs do not compose exactly.

    Dong, Roth and Su (2022), section 2: the composition is one Gaussian with z = `equivalent_noise`.
    """
    if not costs or not all(cost.exact for cost in costs):
        return None
    return float(2 * ndtr(1 / (2 * equivalent_noise(costs))) - 1)
