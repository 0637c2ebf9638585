"""What an epsilon means for a person: the best that a test of membership can do, and what it means for a group.

The advantage of a test is its true positive rate minus its false positive rate; 0 is guessing, 1 is certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from scipy.special import ndtr

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import LEAST_NOISE, Spend, equivalent_noise
from fedrec.privacy.accountant import epsilon as composed_epsilon

_STEPS: Final = 60


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


def exact_advantage(spends: Sequence[Spend]) -> float | None:
    """The best advantage against Gaussian sums: 2 Phi(1 / 2z) - 1, exact; None where amplification is claimed.

    Dong, Roth and Su (2022), section 2: the composition is one Gaussian with z = `equivalent_noise`.
    """
    if not spends or any(spend.amplified for spend in spends):
        return None
    return float(2 * ndtr(1 / (2 * equivalent_noise(spends))) - 1)


def group_epsilon(spends: Sequence[Spend], delta: float, size: int) -> float:
    """The epsilon of ``size`` units together, at the same delta.

    Exact for Gaussian sums without amplification: a group moves a sum ``size`` times as far, which is the same as
    noise divided by ``size``.  Otherwise by the general conversion (Dwork and Roth 2014, theorem 2.2 with its delta):
    size * epsilon(d) for the largest d with d * (e^(size * epsilon) - 1) / (e^epsilon - 1) <= delta.  Infinite where
    nothing can be said.

    Raises:
        PrivacyError: the size is below 1.
    """
    if size < 1:
        raise PrivacyError("a group has at least 1 unit", value=size)
    if size == 1 or not spends:
        return composed_epsilon(spends, delta)
    noise = [spend.noise_multiplier / size for spend in spends]
    if not any(spend.amplified for spend in spends):
        if min(noise) < LEAST_NOISE:
            return math.inf
        less = [replace(spend, noise_multiplier=z) for spend, z in zip(spends, noise, strict=True)]
        return composed_epsilon(less, delta)
    return _converted(spends, delta, size)


def _converted(spends: Sequence[Spend], delta: float, size: int) -> float:
    least, most = math.log(delta) - 600, math.log(delta)  # of log d; `least` is always small enough or nothing is
    for _ in range(_STEPS):
        middle = (least + most) / 2
        one = composed_epsilon(spends, math.exp(middle))
        if not math.isfinite(one) or middle + _growth(one, size) <= math.log(delta):
            least = middle
        else:
            most = middle
    found = size * composed_epsilon(spends, math.exp(least))
    holds = math.isfinite(found) and least + _growth(found / size, size) <= math.log(delta) + 1e-9
    return found if holds else math.inf


def _growth(epsilon: float, size: int) -> float:
    """log of (e^(size * epsilon) - 1) / (e^epsilon - 1): how much larger a group's delta is."""
    if epsilon < 1e-9:
        return math.log(size)
    return size * epsilon + math.log1p(-math.exp(-size * epsilon)) - epsilon - math.log1p(-math.exp(-epsilon))
