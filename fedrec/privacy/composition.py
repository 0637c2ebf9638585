"""Composing privacy losses: Gaussian releases, those of other mechanisms, and those that are amplified by sampling.

Losses of one release are laid on a grid, and those of many are their convolution (Doroshenko et al., Connect the Dots,
PoPETs 2022, as dp-accounting computes it): an upper bound, tight to about 0.1 %.  What dp-accounting does not know,
cohorts without replacement and balls in bins, is given to it as a dominating pair.

dp-accounting is imported where it is used: a device that only takes part in a protocol step should not wait for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fedrec.errors import PrivacyError
from fedrec.privacy import balls_in_bins, without_replacement
from fedrec.privacy.registry import MECHANISMS

_FINEST, _COARSEST = 1e-4, 1e-3


@dataclass(frozen=True, order=True)
class ComposedRounds:
    """Rounds whose losses are alike and compose.

    ``sampled``: ``poisson`` or ``fixed`` (without replacement), each row with ``probability`` in a round; or nothing,
    and the probability is 1.  ``mechanism``: empty = Gaussian.
    """

    noise_multiplier: float
    probability: float
    mechanism: str
    rounds: int
    sampled: str = ""


@dataclass(frozen=True, order=True)
class DealtRounds:
    """Rounds over devices that were dealt into ``groups``: of each cost, its Gaussian noise's multiplier and rounds."""

    groups: int
    costs: tuple[tuple[float, int], ...]

    @property
    def shifts(self) -> balls_in_bins.Shifts:
        """How far the rounds of each group move its device's sum."""
        return balls_in_bins.shifts_of(self.groups, self.costs)

    @property
    def shift(self) -> float:
        """Of the group that is moved most."""
        return max(shift for shift, _ in self.shifts)


@dataclass(frozen=True, eq=False)
class Losses:
    """Composed losses, as a ``PrivacyLossDistribution``."""

    distribution: Any

    def get_epsilon(self, delta: float) -> float:
        """The smallest epsilon at this delta; infinite where there is none."""
        return float(self.distribution.get_epsilon_for_delta(delta))

    def get_delta(self, epsilon: float) -> float:
        """The smallest delta at this epsilon."""
        return float(self.distribution.get_delta_for_epsilon(epsilon))


def event_of(noise_multiplier: float, probability: float = 1.0, mechanism: str | None = None) -> Any:
    """One release as dp-accounting describes it; Poisson-sampled where the probability is below 1."""
    import dp_accounting

    if mechanism is None:
        event = dp_accounting.GaussianDpEvent(noise_multiplier)
    else:
        event = MECHANISMS[mechanism].dp_event(noise_multiplier)
    return event if probability == 1 else dp_accounting.PoissonSampledDpEvent(probability, event)


@lru_cache(maxsize=64)
def composed(exact: float, releases: tuple[ComposedRounds, ...], dealt: tuple[DealtRounds, ...] = ()) -> Losses:
    """All losses together.

    Args:
        exact: 1/z^2 of Gaussian releases that are not amplified.
        releases: all others that compose round by round, sorted.
        dealt: rounds of dealt devices, at most one of each number of groups.

    Raises:
        PrivacyError: a mechanism declares what dp-accounting cannot compose.
    """
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    large = [one for one in dealt if one.shift > balls_in_bins.MOST_SHIFT]
    exact += math.fsum(one.shift**2 for one in large)  # what one device is counted in, wherever it was dealt
    dealt = tuple(one for one in dealt if one not in large)
    interval = _interval(exact, releases, dealt)
    relation = dp_accounting.NeighboringRelation.REPLACE_SPECIAL  # replaced by nothing, as `adjacency` says
    accountant = PLDAccountant(neighboring_relation=relation, value_discretization_interval=interval)
    if exact:
        accountant.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(exact)))
    for one in releases:
        if one.sampled == "fixed":
            continue
        event = event_of(one.noise_multiplier, one.probability, one.mechanism or None)
        if not accountant.supports(event):
            raise PrivacyError(
                f"the accountant cannot compose what the mechanism {one.mechanism!r} declares",
                value=str(event),
                action="Declare a Gaussian or Laplace event, and use sampling other than poisson if it is sampled",
            )
        accountant.compose(dp_accounting.SelfComposedDpEvent(event, one.rounds))
    losses = accountant._pld
    for one in releases:
        if one.sampled == "fixed":
            pair = without_replacement.dominating_pair(one.noise_multiplier, one.probability, interval)
            losses = losses.compose(pair.losses().self_compose(one.rounds))
    for run in dealt:
        losses = losses.compose(balls_in_bins.dominating_pair(run.shifts, interval).losses())
    return Losses(losses)


def _interval(exact: float, releases: tuple[ComposedRounds, ...], dealt: tuple[DealtRounds, ...]) -> float:
    """The grid on which losses are laid: a sixteenth of a typical loss of a round, coarser where losses are huge.

    Too coarse a grid overstates epsilon (never understates it); too fine a one costs time and memory.
    """
    typical = [one.probability / one.noise_multiplier for one in releases] + [one.shift / one.groups for one in dealt]
    noises = [one.noise_multiplier for one in releases] + [1 / one.shift for one in dealt]
    least = min(noises + ([1 / math.sqrt(exact)] if exact else []))
    finest = min(typical, default=_COARSEST) / 16
    return min(max(finest, _FINEST), _COARSEST) * max(1.0, (0.3 / least) ** 2)
