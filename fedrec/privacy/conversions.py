"""What a claim for one row says about several: groups of rows, and users who hold more than one.

Spends of Gaussian releases without amplification amount to one Gaussian with mu = 1/z (`equivalent_noise`).  Moving k
rows moves its sum k times as far, so it is the Gaussian with k mu, exactly (Dong, Roth and Su, Gaussian Differential
Privacy, 2022, theorem 2.8 with section 2.4).  For a sampled release no such law is exact, and the general one is used:
(epsilon, delta) for a row is (k epsilon, delta (e^(k epsilon) - 1) / (e^epsilon - 1)) for k rows (Vadhan, The
Complexity of Differential Privacy, 2017, lemma 2.2, with its sum left as it is).  It is lossy, so it is applied at the
delta of a row that makes the group's delta come out as asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, check_delta, epsilon, equivalent_noise, gaussian_epsilon

_LEAST_LOG_DELTA = math.log(1e-13)  # of a row; below it, composed loss distributions are cut off


def group_epsilon(costs: Iterable[QueryCost], delta: float, size: int) -> float:
    """The epsilon, at ``delta``, of a group of ``size`` rows that come or go together; infinite if none is provable.

    Exact without amplification.  With it, the better of two bounds: the general law, and the exact one of the same
    noise without amplification.  Of noise that is not Gaussian, the general law.

    Raises:
        PrivacyError: the size is below 1, or delta is not in (0, 1).
    """
    spent = list(costs)
    check_delta(delta)
    _check_count("the size of a group", size)
    if not spent:
        return 0.0
    if not all(cost.mechanism is None for cost in spent):
        return epsilon(spent, delta) if size == 1 else _general(spent, delta, size)
    exact = gaussian_epsilon(equivalent_noise(spent) / size, delta)
    if not any(cost.amplified for cost in spent):
        return exact
    if size == 1:
        return epsilon(spent, delta)
    return min(exact, _general(spent, delta, size))


def group_delta(epsilon: float, delta: float, size: int) -> float:
    """The group's delta by the general law, at the group's epsilon ``size`` times ``epsilon``; may be above 1.

    Raises:
        PrivacyError: the size is below 1, delta is not in (0, 1), or epsilon is negative or not finite.
    """
    check_delta(delta)
    _check_count("the size of a group", size)
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PrivacyError("an epsilon must be finite and at least 0", value=epsilon)
    if epsilon == 0:
        return size * delta
    try:
        return delta * math.expm1(size * epsilon) / math.expm1(epsilon)
    except OverflowError:
        return math.inf


def _general(costs: list[QueryCost], delta: float, size: int) -> float:
    """The smallest epsilon that the general law gives: the row's delta is chosen so that the group's is ``delta``."""
    from scipy.optimize import brentq

    def excess(log_delta: float) -> float:
        row = math.exp(log_delta)
        cost = epsilon(costs, row)
        reached = group_delta(cost, row, size) if math.isfinite(cost) else math.inf
        return min(math.log(reached / delta), 1e6)

    high = math.log(delta / size)
    if high <= _LEAST_LOG_DELTA or excess(_LEAST_LOG_DELTA) > 0:
        return math.inf
    found = high if excess(high) <= 0 else float(brentq(excess, _LEAST_LOG_DELTA, high, xtol=1e-3))
    while excess(found) > 0:  # the root is known to 0.001: step to its safe side
        found -= 1e-3
    return size * epsilon(costs, math.exp(found))


def _check_count(what: str, count: int) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise PrivacyError(f"{what} must be a whole number from 1", value=count)
