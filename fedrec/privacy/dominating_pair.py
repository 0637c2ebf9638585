"""A dominating pair on a grid of losses: two distributions that are at least as easy to tell apart as a mechanism's.

A pair (P, Q) dominates a mechanism if, for every alpha >= 0 and all neighbouring data D, D' (in this order), the
hockey-stick divergence H_alpha(M(D) || M(D')) is at most H_alpha(P || Q).  Losses of dominating pairs compose, also
where a round depends on what earlier ones showed (Zhu, Dong and Wang, Optimal Accounting of Differential Privacy via
Characteristic Function, AISTATS 2022, theorem 10).  A pair is held by the masses that P and Q give to log(P/Q) on
whole multiples of an interval, beside what P has where Q has nothing, and Q where P has nothing.

`from_profile` makes one of bounds on the divergences themselves.  Between two points of the grid the true divergence,
convex in alpha, lies below the chord of the bound at these points; the pair's is that chord (Doroshenko et al.,
Connect the Dots, PoPETs 2022).  So what is made dominates whatever the bounds bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DominatingPair:
    """Two distributions, by what they give to each value of log(P/Q).

    Args:
        interval: of the grid.
        lowest: the first loss, in intervals.
        upper, lower: masses of P and of Q at losses ``(lowest + k) * interval``, float64 [n].
        upper_alone, lower_alone: mass of P where Q has none, and of Q where P has none.
    """

    interval: float
    lowest: int
    upper: Floats
    lower: Floats
    upper_alone: float
    lower_alone: float

    def delta(self, epsilon: float) -> float:
        """H_alpha(P || Q) at alpha = e^epsilon, for any epsilon."""
        gained = np.maximum(self.upper - np.exp(epsilon) * self.lower, 0.0)
        return float(gained.sum()) + self.upper_alone

    def delta_reversed(self, epsilon: float) -> float:
        """H_alpha(Q || P) at alpha = e^epsilon, for any epsilon."""
        gained = np.maximum(self.lower - np.exp(epsilon) * self.upper, 0.0)
        return float(gained.sum()) + self.lower_alone

    def losses(self) -> Any:
        """As a ``PrivacyLossDistribution`` of dp-accounting, both directions in it."""
        from dp_accounting.pld import pld_pmf
        from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

        places = range(self.lowest, self.lowest + len(self.upper))
        forth = dict(zip(places, self.upper, strict=True))
        back = {-place: mass for place, mass in zip(places, self.lower, strict=True)}
        return PrivacyLossDistribution(
            pld_pmf.create_pmf(forth, self.interval, self.upper_alone, True),
            pld_pmf.create_pmf(dict(sorted(back.items())), self.interval, self.lower_alone, True),
        )


def from_profile(interval: float, forth: Floats, back: Floats) -> DominatingPair:
    """The pair of bounds on the divergences of a mechanism.

    Args:
        interval: of the grid.
        forth: at 0, 1, ... n intervals, bounds on H(M(D) || M(D')); convex in alpha but for rounding.
        back: bounds on H(M(D') || M(D)) there.

    Masses that rounding makes negative are taken as zero, and what is missing of 1 lies at loss 0: both only add.
    """
    alphas = np.exp(interval * np.arange(len(forth)))
    upper_lower, upper_alone = _masses(alphas, forth)
    lower_upper, lower_alone = _masses(alphas, back)
    upper = np.concatenate([lower_upper[::-1], [0.0], upper_lower * alphas[1:]])
    lower = np.concatenate([lower_upper[::-1] * alphas[:0:-1], [0.0], upper_lower])
    upper[len(forth) - 1] = max(0.0, 1.0 - float(upper.sum()) - upper_alone)
    lower[len(forth) - 1] = max(0.0, 1.0 - float(lower.sum()) - lower_alone)
    return DominatingPair(interval, 1 - len(forth), upper, lower, upper_alone, lower_alone)


def _masses(alphas: Floats, divergences: Floats) -> tuple[Floats, float]:
    """What the second distribution has at each ratio after the first, and the first where the second has nothing.

    The divergence's slope at alpha is minus what the second has at larger ratios.
    """
    slopes = np.append(np.diff(divergences) / np.diff(alphas), 0.0)
    return np.maximum(np.diff(slopes), 0.0), float(divergences[-1])
