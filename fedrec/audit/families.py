"""Which claims are tried one after the other: a run's own costs, with all noise taken smaller or larger.

A lower bound on epsilon needs an ordered family of claims.  The one here holds the claim itself and keeps what else is
known of the mechanism (rounds, sampling), so its bound says: the run behaves as if its noise were so much smaller or
larger, and epsilon at the claim's delta follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fedrec.audit.fdp import CurveTradeOff, GaussianTradeOff, TradeOff, refuted
from fedrec.audit.one_run import GuessCount, level_of
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, delta, epsilon, equivalent_noise, gaussian_noise
from fedrec.privacy.noise_range import LEAST_NOISE

# Strengths are powers of 2^(1/steps): fine where a curve has a formula, coarse where losses must be composed.
_FINE, _COARSE = 128, 16
_DOUBLINGS = 6
_CURVE = 64
_LEAST_DELTA = 1e-9


@dataclass(frozen=True)
class Claim:
    """What a run says of itself: ``costs`` in all, and the ``delta`` at which epsilon is stated.

    Raises:
        PrivacyError: there are no costs.
    """

    costs: tuple[QueryCost, ...]
    delta: float

    def __post_init__(self) -> None:
        if not self.costs:
            raise PrivacyError("a run without noise claims nothing that an audit could test", action="Set an epsilon")

    @property
    def epsilon(self) -> float:
        """The claimed epsilon, for whoever sees all noisy sums."""
        return epsilon(self.costs, self.delta)

    @property
    def mu(self) -> float:
        """Of the Gaussian mechanism that has this epsilon at this delta; for planning."""
        return 1 / gaussian_noise(self.epsilon, self.delta)

    @property
    def amplified(self) -> bool:
        """Whether the claim rests on secret sampling."""
        return any(cost.amplified for cost in self.costs)

    @property
    def exact(self) -> bool:
        """Whether the whole run is Gaussian-DP, exactly: all its noise is Gaussian, and no sampling is secret."""
        return all(cost.exact for cost in self.costs)

    @property
    def family(self) -> str:
        """The name of the family, for people."""
        if not self.exact:
            return "the run's own mechanisms by their privacy loss distributions, all noise scaled"
        return "Gaussian differential privacy"

    def scaled(self, strength: float) -> tuple[QueryCost, ...]:
        """The costs with all noise divided by ``strength``."""
        return tuple(replace(cost, noise_multiplier=cost.noise_multiplier / strength) for cost in self.costs)

    def tradeoff(self, strength: float = 1.0) -> TradeOff:
        """The trade-off of the run with all noise divided by ``strength``."""
        if not self.exact:
            return _curve(self.scaled(strength))
        return GaussianTradeOff(strength / equivalent_noise(self.costs))

    def lower_bound(self, count: GuessCount, confidence: float) -> float:
        """The largest epsilon, at the claim's delta, of a member of the family that the count refutes; 0.0 if none.

        Members are a grid of strengths from 1/64 to 64; the next lower one is reported, so the bound errs low.
        """
        level = level_of(confidence)
        steps = _FINE if self.exact else _COARSE
        least_noise = min(cost.noise_multiplier for cost in self.costs)
        lowest, highest = (
            -_DOUBLINGS * steps,
            min(_DOUBLINGS * steps, int(steps * math.log2(least_noise / LEAST_NOISE))),
        )
        place = _last(lambda p: refuted(count, self.tradeoff(2 ** (p / steps)), level), lowest, highest, steps)
        return epsilon(self.scaled(2 ** (place / steps)), self.delta) if place >= lowest else 0.0


def _last(holds: Callable[[int], bool], lowest: int, highest: int, jump: int) -> int:
    """The last place at which something holds that holds up to there; ``lowest - 1`` where it never does.

    From 0 outwards in growing jumps, then halving: far members of a family are slow to compose and rarely needed.
    """
    low, high = lowest - 1, highest + 1
    place = max(lowest, min(0, highest))
    while high - low > 1:
        if holds(place):
            low = place
        else:
            high = place
        if high > highest:
            place, jump = min(low + jump, highest), 2 * jump
        elif low < lowest:
            place, jump = max(high - jump, lowest), 2 * jump
        else:
            place = (low + high) // 2
    return low


@lru_cache(maxsize=64)
def _curve(costs: tuple[QueryCost, ...]) -> CurveTradeOff:
    farthest = max(1.0, epsilon(costs, _LEAST_DELTA))
    epsilons = [math.expm1(x) for x in np.linspace(0.0, math.log1p(farthest), _CURVE)]
    return CurveTradeOff(epsilons, [delta(costs, one) for one in epsilons])
