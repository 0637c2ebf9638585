"""The noise: what every mechanism owes, and the Gaussian one, drawn from a cryptographic generator on the sum's grid.

What is guaranteed of the Gaussian.  An opened sum is a whole number of steps of a resolution, and so is the noise: it
is drawn from the discrete Gaussian (`fedrec.privacy.discrete`) with the variance that is accounted, and 4 squared steps
more.  Its claim is that of the continuous mechanism, proven in `fedrec.privacy.distributed` (part 2, of one share): a
sum of 2^28 elements differs from post-processing of a continuous one by a factor within 1e-25 of 1.  The sampler is
within a statistical distance of 2^-110 of its distribution for each element; as the 2^-80 of `grid_sensitivity`, that
is no part of the stated delta: it is below what double precision holds of it.  All numbers stay below 2^45 steps, and a
resolution has at most eight significant bits, so the addition is exact, and a noisy sum shows nothing in its last bits,
which is where floating-point noise has been shown to leak the sum (Mironov, CCS 2012).

The time that a draw takes does not depend on its value up to the processor's caches, and is not a secret channel that
fedrec defends.

User-level and example-level privacy differ only in what a row is, that is, in whose sensitivity is given here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, assert_never

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import PrivacyError
from fedrec.privacy.discrete import MOST, discrete_gaussian
from fedrec.privacy.distributed import ROUNDING
from fedrec.privacy.noise_range import check_noise_multiplier

Norm = Literal["l1", "l2"]
STEP_NUMERATORS = 256  # a grid's step is a whole number below this, times a power of two
# One row's rounding may move a sum further than `grid_sensitivity` says with this chance (natural logarithm): 2^-80.
_LOG_CHANCE = 80 * math.log(2)


class CostOverRounds(Protocol):
    """What of a `fedrec.privacy.accountant.QueryCost` decides how rounds may share noise."""

    @property
    def noise_multiplier(self) -> float:
        """z, as of `Mechanism`."""

    @property
    def rounds(self) -> int:
        """How many releases."""

    @property
    def minimum_separation(self) -> int:
        """Rounds from one participation of a row to its next."""


class RoundNoise(Protocol):
    """The noise of all rounds of a run, where one round's depends on those before."""

    def of(self, number: int, length: int, deviation: float) -> NDArray[np.float64]:
        """Noise of round ``number``, from 1, in whole steps, for a mechanism's standard deviation of so many steps.

        float64 [length].  The same at every call, whatever was asked before.  Raises PrivacyError where there is no
        such round.
        """


@dataclass(frozen=True)
class Mechanism(ABC):
    """Noise for one sum: how large it is, how it is drawn, and what a release with it costs.

    A subclass is registered by name (`fedrec.extend.register_mechanism`) and chosen by ``privacy.noise`` for the rounds
    of training; it adds no fields.  What it owes, and `fedrec.testing.MechanismContract` checks:

    - `noise` is a function of the key alone, whole steps of the resolution, with `standard_deviation` on each element;
    - a sum that one row moves by at most ``sensitivity``, in the norm ``norm``, with this noise on it, is as private as
      `dp_event` says, for each noise multiplier; the larger that is, the more private.

    The accountant believes `dp_event`: a mechanism that declares too much is believed, and its runs claim too much.

    ``norm``: in which the sensitivity is meant; what bounds rows is L2, from which a bound in L1 follows (`moved_by`).
    ``correlated``: rounds share noise (`over_rounds`), which needs cyclic cohorts.  ``divisible``: devices can
    add it together, or each by itself, instead of the server.  ``gaussian``: `dp_event` is the Gaussian one, so that
    costs compose exactly.

    Args:
        noise_multiplier: z, 0.01 to 1e9: how much noise, in units of the sensitivity.
        sensitivity: most by which one row can change the opened sum, in the norm; see `grid_sensitivity`.
        resolution: the sum's step, a whole number below 256 times a power of two.

    Raises:
        PrivacyError: a value is outside its range, or the noise is more than 2^40 steps.
    """

    norm: ClassVar[Norm] = "l2"
    correlated: ClassVar[bool] = False
    divisible: ClassVar[bool] = False
    gaussian: ClassVar[bool] = False

    noise_multiplier: float
    sensitivity: float
    resolution: float

    def __post_init__(self) -> None:
        check_noise_multiplier(self.noise_multiplier)
        _check_positive("sensitivity", self.sensitivity)
        check_resolution(self.resolution)
        # 13 standard deviations, and the sum itself, then stay below 2^45 steps.
        if not self.standard_deviation / self.resolution <= MOST:
            steps = self.standard_deviation / self.resolution
            raise PrivacyError("the noise is too many steps", value=f"{steps:g}", action="Use a coarser resolution")

    @property
    @abstractmethod
    def standard_deviation(self) -> float:
        """Of the noise on each element, in the sum's own unit; of noise that `on_grid` rounds, before it does."""

    @abstractmethod
    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        """Noise for a sum of ``length`` elements; float64 [length], each a whole multiple of the resolution.

        ``key``: 32 bytes used for this release and never again: from the operating system in a deployment
        (`randomness.fresh_key`), from the run's seed only in a simulation.  Draw from `fedrec.randomness` only.

        Raises:
            PrivacyError: the key is not 32 bytes, or the length is negative.
        """

    @classmethod
    @abstractmethod
    def dp_event(cls, noise_multiplier: float) -> Any:
        """What one release costs, as a ``dp_accounting.DpEvent`` of which its PLD accountant knows the losses.

        Of a release in which every row takes part once; rounds are composed, and Poisson sampling is put around it.
        """

    @classmethod
    def over_rounds(cls, cost: CostOverRounds, bands: int, key_of: Callable[[int], bytes]) -> RoundNoise | None:
        """The noise of a whole run, where rounds are ``correlated``; None where each is drawn by itself by `noise`.

        Args:
            cost: of training: its rounds, and how far apart a row's participations lie.
            bands: ``privacy.bands``; 0 leaves it to the mechanism.
            key_of: the key of a round's own part, from 1; the same at every call, after a restart too.
        """
        return None

    @classmethod
    def details(cls, cost: CostOverRounds, bands: int) -> dict[str, int]:
        """What a ledger's row says of the noise beside its cost, such as the number of ``bands``."""
        return {}

    @classmethod
    def moved_by(cls, distance: float, length: int) -> float:
        """The sensitivity, in the mechanism's norm, of a sum of ``length`` elements that is moved so far in L2."""
        match cls.norm:
            case "l2":
                return distance
            case "l1":  # by the inequality of Cauchy and Schwarz, with equality where all elements are moved alike
                return distance * math.sqrt(length)
            case _:
                assert_never(cls.norm)

    def on_grid(self, standard: NDArray[np.float64]) -> NDArray[np.float64]:
        """Noise that was drawn for a standard deviation of 1, made as large as needed and rounded to whole steps.

        float64 of the same shape.  Adding it gives exactly what adding the noise and rounding afterwards would give:
        post-processing, so the guarantee of the noise that was drawn stands, at any resolution.  Of noise that is
        correlated over rounds, each round's may be rounded by itself, after it was correlated.
        """
        noise = standard * (self.standard_deviation / self.resolution)
        np.rint(noise, out=noise)
        noise *= self.resolution
        return noise


@dataclass(frozen=True)
class GaussianMechanism(Mechanism):
    """Discrete Gaussian noise, worth Gaussian noise of ``noise_multiplier`` times ``sensitivity`` (L2); independent
    each round."""

    divisible = True
    gaussian = True

    @property
    def standard_deviation(self) -> float:
        """Of what is added: the accounted deviation, and two steps for its being discrete, as the root of squares."""
        return math.hypot(self.noise_multiplier * self.sensitivity, ROUNDING * self.resolution)

    def noise(self, key: bytes, length: int) -> NDArray[np.float64]:
        """See `Mechanism.noise`."""
        steps = discrete_gaussian(key, self.standard_deviation / self.resolution, length)
        return np.asarray(steps.astype(np.float64) * self.resolution, np.float64)

    @classmethod
    def dp_event(cls, noise_multiplier: float) -> Any:
        """See `Mechanism.dp_event`."""
        import dp_accounting

        return dp_accounting.GaussianDpEvent(noise_multiplier)


def grid_sensitivity(bound: float, resolution: float, length: int) -> float:
    """Most by which one row changes a sum of ``length`` elements, contributions rounded stochastically; L2.

    Rounding x stochastically is taking floor(x + u) with uniform u.  Let a contribution be rounded with the same u with
    and without a row r (all other contributions being the same).  What the row changes, floor(x + r + u) -
    floor(x + u), is then r itself, stochastically rounded, whatever x is: so rows that share a contribution (a silo, a
    simulated cohort) are as well protected as a row that is one.  With c = bound / resolution and d = ``length``, the
    rounded row has squared norm

        at most  c^2 + d/4 + sqrt(2 ln(1/beta)) (c + sqrt(d)/2)  but with probability beta = 2^-80,  and
        at most  (c + sqrt(d))^2  always

    (Hoeffding's inequality over the d independent elements, each of which takes one of two values; Kairouz, Liu and
    Steinke, ICML 2021, proposition 22, without their redrawing).  Divergences are jointly convex, so a mechanism that
    is (epsilon, delta)-private for that norm is (epsilon, delta + beta)-private.  The beta of each sum is not part of
    the stated delta: it is below what double precision holds of it.

    Raises:
        PrivacyError: the bound or resolution is not positive and finite, or the length is below 1.
    """
    _check_positive("bound", bound)
    check_resolution(resolution)
    if length < 1:
        raise PrivacyError("a sum's length must be at least 1", value=length)
    steps, root = bound / resolution, math.sqrt(length)
    likely = math.sqrt(steps**2 + length / 4 + math.sqrt(2 * _LOG_CHANCE) * (steps + root / 2))
    return resolution * min(likely, steps + root)


def check_resolution(resolution: float) -> None:
    """Raise PrivacyError unless it is a whole number below 256 times a power of two, as exact sums need."""
    _check_positive("resolution", resolution)
    if not (math.frexp(resolution)[0] * STEP_NUMERATORS).is_integer():
        what = f"a resolution must be a whole number below {STEP_NUMERATORS} times a power of two"
        raise PrivacyError(what, value=resolution, action="Take it from resolution_for or rotated_resolution")


def _check_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise PrivacyError(f"a {name} must be positive and finite", value=value)
