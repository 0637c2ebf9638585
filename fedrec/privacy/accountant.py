"""What releases cost: the composed epsilon or delta of noisy sums, described as data (`QueryCost`).

Adjacency: two populations are neighbours when one has one row more (a user, or one interaction, as the unit says).
Full-participation releases with Gaussian noise compose exactly into one Gaussian release whose 1/z^2 is the sum of
theirs (Dong, Roth and Su, Gaussian Differential Privacy, 2022, section 3.2), so these are accounted by the exact
formula of Balle and Wang (ICML 2018, theorem 8).  As soon as a Poisson-sampled release is among them, the privacy loss
distributions of dp-accounting are composed (Doroshenko et al., PoPETs 2022): an upper bound, tight to about 0.1 %.

Fixed-size sampling is not Poisson sampling.  No amplification is claimed for it: a device counts as in every round.
Cyclic sampling (minimum separation) claims no amplification either, but a row is in few rounds and is counted in those
only.  That holds for independent noise, and just so for banded noise of no more bands than rounds lie between two
turns of a row (Choquette-Choo et al., NeurIPS 2023, section 4): see `fedrec.privacy.banded`.
Poisson amplification is per row.  It may be claimed only if each row is drawn independently of all others; where a
device holds many example-level rows and is drawn as one, the others' presence tells that the row is in.

dp-accounting is imported where it is used: a device that only takes part in a protocol step should not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

from scipy.special import log_ndtr

from fedrec.errors import PrivacyError
from fedrec.registry import registry_of

Sampling = Literal["full", "poisson", "fixed", "cyclic"]
LEAST_NOISE, MOST_NOISE = 1e-2, 1e9


@dataclass(frozen=True)
class QueryCost:
    """``rounds`` releases of one query with the same noise.

    Args:
        query: what was summed.
        noise_multiplier: z, the noise's standard deviation divided by the L2 sensitivity of one row; 0.01 to 1e9.
        rounds: how many releases, at least 1.
        sampling: ``full``: every row takes part; ``poisson``: each row independently with ``probability``, drawn anew
            each round and kept secret; ``fixed``: a cohort of fixed size, accounted as if it were ``full``.
        probability: a row's chance to be in a round, in (0, 1]; 1 for ``full``.

    Raises:
        PrivacyError: a value is outside its range.
    """

    query: str
    noise_multiplier: float
    rounds: int = 1
    sampling: Sampling = "full"
    probability: float = 1.0
    minimum_separation: int = 1

    def __post_init__(self) -> None:
        if self.query not in registry_of("query"):
            names = ", ".join(registry_of("query").names())
            raise PrivacyError(f"a cost is of one of the queries {names}", value=self.query)
        check_noise_multiplier(self.noise_multiplier)
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1:
            raise PrivacyError("a spend's rounds must be a whole number from 1", value=self.rounds)
        check_sampling(self.sampling, self.probability)
        check_separation(self.sampling, self.minimum_separation)

    @property
    def participations(self) -> int:
        """The most rounds that one row is counted in: all of them, with cyclic sampling ceil(rounds/separation)."""
        return -(-self.rounds // self.minimum_separation)

    @property
    def amplified(self) -> bool:
        """Whether amplification by sampling is claimed for it."""
        return self.sampling == "poisson" and self.probability < 1


def epsilon(costs: Iterable[QueryCost], delta: float) -> float:
    """The epsilon, at ``delta``, of all spends together; 0.0 of none.

    An upper bound with Poisson-sampled spends, exact without.  Without them it also holds when each spend was chosen
    after seeing the results so far (Smith and Thakurta, Fully Adaptive Composition for Gaussian Differential Privacy,
    2022); with them, noise, rounds and probabilities must have been planned before.

    Raises:
        PrivacyError: delta is not in (0, 1).
    """
    check_delta(delta)
    exact, amplified = _normalised(costs)
    if not amplified:
        return _gaussian_epsilon(exact, delta)
    return float(_composed(exact, amplified).get_epsilon(delta))


def delta(costs: Iterable[QueryCost], epsilon: float) -> float:
    """The smallest delta for which all spends together are (epsilon, delta)-private, 0 to 1; bounds as `epsilon`'s.

    Raises:
        PrivacyError: epsilon is negative or not finite.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PrivacyError("an epsilon must be finite and at least 0", value=epsilon)
    exact, amplified = _normalised(costs)
    if not amplified:
        return gaussian_delta(1 / math.sqrt(exact), epsilon) if exact else 0.0
    return float(_composed(exact, amplified).get_delta(epsilon))


def epsilon_without_amplification(costs: Iterable[QueryCost], delta: float) -> float:
    """The epsilon towards somebody who knows who took part when, as the server does.

    That a sample was secret counts for nothing then; that a row had few turns (cyclic sampling) still counts.
    """
    return epsilon((_known_to_all(cost) for cost in costs), delta)


def equivalent_noise(costs: Iterable[QueryCost]) -> float:
    """The noise multiplier of the one full-participation Gaussian that all spends, without amplification, amount to.

    Infinite when there are no spends.
    """
    total = math.fsum(cost.participations / cost.noise_multiplier**2 for cost in costs)
    return 1 / math.sqrt(total) if total else math.inf


def rounds_apart(population: int, cohort: int) -> int:
    """Rounds from one turn of a device to its next, where ``population`` are dealt into groups of at most ``cohort``.

    Cyclic sampling's separation: as many as there are groups.  Raises PrivacyError if either is below 1.
    """
    if population < 1 or cohort < 1:
        raise PrivacyError("dealing needs a population and a cohort of at least 1", value=(population, cohort))
    return -(-population // cohort)


def gaussian_delta(noise_multiplier: float, epsilon: float) -> float:
    """Delta of one full-participation Gaussian release: Balle and Wang (2018), theorem 8, with mu = 1/z."""
    mu = 1 / noise_multiplier
    head = math.exp(log_ndtr(mu / 2 - epsilon / mu))
    tail = math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))
    return max(0.0, head - tail)


def gaussian_epsilon(noise_multiplier: float, delta: float) -> float:
    """The epsilon, at ``delta``, of one full-participation Gaussian release with any noise above 0; exact."""
    import dp_accounting

    return float(dp_accounting.get_epsilon_gaussian(noise_multiplier, delta))


def gaussian_noise(epsilon: float, delta: float) -> float:
    """The smallest noise multiplier that makes one full-participation Gaussian release (epsilon, delta)-private."""
    import dp_accounting

    return float(dp_accounting.get_sigma_gaussian(epsilon, delta))


def check_noise_multiplier(value: float) -> None:
    """Raises PrivacyError unless the value is 0.01 to 1e9: below, the claim would be empty; above, it is a slip."""
    if not LEAST_NOISE <= value <= MOST_NOISE:
        wanted = f"a noise multiplier must be {LEAST_NOISE:g} to {MOST_NOISE:g}"
        raise PrivacyError(wanted, value=value, action="Choose another epsilon, or a run without noise")


def check_sampling(sampling: str, probability: float) -> None:
    """Raises PrivacyError unless the sampling is a known kind and its probability fits it."""
    if sampling not in get_args(Sampling):
        raise PrivacyError(f"a sampling must be one of {', '.join(get_args(Sampling))}", value=sampling)
    if not 0 < probability <= 1:
        raise PrivacyError("a sampling probability must be above 0 and at most 1", value=probability)
    if sampling == "full" and probability != 1:
        raise PrivacyError("with full participation the probability is 1", value=probability)


def check_separation(sampling: str, minimum_separation: int) -> None:
    """Raises PrivacyError unless the separation is a whole number from 1, and 1 where rows do not take turns."""
    if isinstance(minimum_separation, bool) or not isinstance(minimum_separation, int) or minimum_separation < 1:
        raise PrivacyError("a spend's separation must be a whole number from 1", value=minimum_separation)
    if minimum_separation > 1 and sampling != "cyclic":
        raise PrivacyError(
            f"with sampling {sampling!r} a row may be in every round: its separation is 1", value=minimum_separation
        )


def check_delta(delta: float) -> None:
    """Raises PrivacyError unless delta is in (0, 1)."""
    if not 0 < delta < 1:
        raise PrivacyError("a delta must be above 0 and below 1", value=delta, action="Use N^-1.1, N the privacy units")


def _known_to_all(cost: QueryCost) -> QueryCost:
    return cost if cost.sampling == "cyclic" else replace(cost, sampling="full", probability=1.0)


_Amplified = tuple[tuple[float, float, int], ...]


def _normalised(costs: Iterable[QueryCost]) -> tuple[float, _Amplified]:
    """The exact part as its total 1/z^2, and the amplified part as sorted (z, probability, rounds), rounds merged."""
    exact: list[float] = []
    amplified: dict[tuple[float, float], int] = {}
    for cost in costs:
        z = float(cost.noise_multiplier)
        if cost.amplified:
            place = (z, float(cost.probability))
            amplified[place] = amplified.get(place, 0) + cost.rounds
        else:
            exact.append(cost.participations / z**2)
    return math.fsum(exact), tuple(sorted((*place, rounds) for place, rounds in amplified.items()))


@lru_cache(maxsize=1024)
def _gaussian_epsilon(total: float, delta: float) -> float:
    return gaussian_epsilon(1 / math.sqrt(total), delta) if total else 0.0


@lru_cache(maxsize=64)
def _composed(exact: float, amplified: _Amplified) -> Any:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=_interval(exact, amplified))
    if exact:
        accountant.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(exact)))
    for z, probability, rounds in amplified:
        sampled = dp_accounting.PoissonSampledDpEvent(probability, dp_accounting.GaussianDpEvent(z))
        accountant.compose(dp_accounting.SelfComposedDpEvent(sampled, rounds))
    return accountant


def _interval(exact: float, amplified: _Amplified) -> float:
    """The grid on which losses are laid: a sixteenth of a typical loss of a round, coarser where losses are huge.

    Too coarse a grid overstates epsilon (never understates it); too fine a one costs time and memory.
    """
    finest = min(probability / (16 * z) for z, probability, _ in amplified)
    least_noise = min([z for z, _, _ in amplified] + ([1 / math.sqrt(exact)] if exact else []))
    return min(max(finest, 1e-4), 1e-3) * max(1.0, (0.3 / least_noise) ** 2)
