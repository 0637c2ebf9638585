"""The same guesses held against a whole trade-off curve instead of one (epsilon, delta).

Mahloujifar, Melis and Chaudhuri 2024, "Auditing f-Differential Privacy in One Run".  What is used here, with its proof:

Let M be f-private: for neighbours u, u' and any event E, P[M(u') in E] >= x(P[M(u) in E]) where x, convex, increasing
and at most the identity, is the least false-positive rate at which a test can have that power (`TradeOff.least`).
Let u be m fair coins, and let exactly r of them be guessed from M(u).  p_i: the chance that i guesses are right.  Take
a place j at random, and the event that it is guessed rightly and that k or more guesses are right in all.  Under M(u)
its chance is A_k / m with A_k = sum over i >= k of i p_i.  Turn the coin j over: u' is m fair coins too, and the same
event says that j is guessed, wrongly now, and that k - 1 or more are right; its chance is B_{k-1} / m with
B_{k-1} = sum over i >= k - 1 of (r - i) p_i.  By f-privacy for each (u, j), and Jensen's inequality over them,

    B_{k-1} >= m x(A_k / m)    for every k in 1..r.

So if c or more are right with chance t, these inequalities force mass on c - 1, c - 2, ... right guesses in turn, and
if all the mass they force is above 1, t was too large.  The least mass is found by putting t on c and, at each step
down, no more than is needed.  That this is least: let V_k(S, B) be the least total from mass S at k or more with B_k =
B, so A_k = r S - B.  By induction over k, V_k falls in B (less B asks for more at k - 1), and extra mass s at k,
which is V_k(S + s, B + (r - k) s), never lowers it: what s saves at k - 1 is at most s (r - k) / (r - k + 1) of mass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fedrec.audit.one_run import GuessCount
from fedrec.errors import PrivacyError

_ROUNDING = 1e-9
_LEAST_P = 1e-12


class TradeOff(Protocol):
    """What a private mechanism lets a test do, in both directions of every pair of neighbours."""

    def least(self, power: float) -> float:
        """The least false-positive rate of a test with this power; convex and increasing on [0, 1], below ``power``."""


@dataclass(frozen=True)
class GaussianTradeOff:
    """mu-GDP (Dong, Roth and Su 2022, definition 4): as hard as telling N(0, 1) from N(mu, 1); ``mu`` >= 0."""

    mu: float

    def least(self, power: float) -> float:
        """See `TradeOff`."""
        return float(ndtr(ndtri(power) - self.mu))


class CurveTradeOff:
    """Any mechanism that is (epsilon_j, delta_j)-private for all j (Wasserman and Zhou 2010; Dong et al., prop. 3).

    ``epsilons`` >= 0 and ``deltas`` in [0, 1]: of equal length. Coarser lists claim less and refute less.
    """

    def __init__(self, epsilons: Sequence[float], deltas: Sequence[float]) -> None:
        if len(epsilons) != len(deltas) or not len(epsilons):
            raise PrivacyError("a privacy curve needs as many deltas as epsilons", value=(len(epsilons), len(deltas)))
        self._deltas: NDArray[np.float64] = np.asarray(deltas, dtype=np.float64)
        self._growth: NDArray[np.float64] = np.exp(np.asarray(epsilons, dtype=np.float64))

    def least(self, power: float) -> float:
        """See `TradeOff`: P <= delta + e^epsilon Q of the event, and of its complement with P and Q in turn."""
        of_event = float(np.max((power - self._deltas) / self._growth))
        of_rest = float(np.max(1 - self._deltas - self._growth * (1 - power)))
        return max(0.0, of_event, of_rest)


def refuted(count: GuessCount, tradeoff: TradeOff, level: float) -> bool:
    """Whether a mechanism with this trade-off lets so many guesses be right with a chance below ``level`` only."""
    if count.correct == 0:
        return False
    guesses, canaries = count.guesses, count.canaries
    mass = level
    wrong = (guesses - count.correct) * level
    for right in range(count.correct, 0, -1):
        needed = canaries * tradeoff.least(min(1.0, (guesses * mass - wrong) / canaries)) - wrong
        more = max(0.0, needed) / (guesses - right + 1)
        mass += more
        wrong += more * (guesses - right + 1)
        if mass > 1 + _ROUNDING:
            return True
    return False


def fdp_p_value(count: GuessCount, tradeoff: TradeOff) -> float:
    """An upper bound, to a hundredth of itself, on the chance to do so well; 1e-12 where it is no larger."""
    if not refuted(count, tradeoff, 1.0 - _ROUNDING):
        return 1.0
    low, high = _LEAST_P, 1.0
    if refuted(count, tradeoff, low):
        return low
    while high > low * 1.01:
        middle = float(np.sqrt(low * high))
        low, high = (low, middle) if refuted(count, tradeoff, middle) else (middle, high)
    return high
