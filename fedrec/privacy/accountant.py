"""What releases cost: the composed epsilon or delta of noisy sums, described as data (`QueryCost`).

Adjacency: two populations are neighbours when one has one row more (a user, or one interaction, as the unit says).
Full-participation releases with Gaussian noise compose exactly into one Gaussian release whose 1/z^2 is the sum of
theirs (Dong, Roth and Su, Gaussian Differential Privacy, 2022, section 3.2), so these are accounted by the exact
formula of Balle and Wang (ICML 2018, theorem 8).  As soon as a Poisson-sampled release is among them, the privacy loss
distributions of dp-accounting are composed (Doroshenko et al., PoPETs 2022): an upper bound, tight to about 0.1 %.

Fixed-size sampling is not Poisson sampling.  No amplification is claimed for it: a device counts as in every round.
Cyclic sampling (minimum separation) claims no amplification either, but a row is in few rounds and is counted in those
only.  That holds for independent noise, and just so for banded noise of no more bands than rounds lie between two
participations of a row (Choquette-Choo et al., NeurIPS 2023, section 4): see `fedrec.privacy.banded`.
Poisson amplification is per row.  It may be claimed only if each row is drawn independently of all others; where a
device holds many example-level rows and is drawn as one, the others' presence tells that the row is in.

Noise of a mechanism that is not Gaussian is accounted by what the mechanism declares of it (`mechanism.Mechanism`), as
one of the losses that are composed.

dp-accounting is imported where it is used: a device that only takes part in a protocol step should not wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

from scipy.special import log_ndtr

from fedrec.errors import PrivacyError
from fedrec.privacy.noise_range import check_noise_multiplier
from fedrec.privacy.registry import MECHANISMS
from fedrec.registry import registry_of

Sampling = Literal["full", "poisson", "fixed", "cyclic"]


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
        minimum_separation: rounds from one turn of a row to its next, with sampling ``cyclic``.
        mechanism: the registered mechanism whose noise it is; None = Gaussian.  Of another mechanism, the noise
            multiplier is in its own unit.

    Raises:
        PrivacyError: a value is outside its range.
        ConfigError: the mechanism is not registered here.
    """

    query: str
    noise_multiplier: float
    rounds: int = 1
    sampling: Sampling = "full"
    probability: float = 1.0
    minimum_separation: int = 1
    mechanism: str | None = None

    def __post_init__(self) -> None:
        if self.query not in registry_of("query"):
            names = ", ".join(registry_of("query").names())
            raise PrivacyError(f"a cost is of one of the queries {names}", value=self.query)
        check_noise_multiplier(self.noise_multiplier)
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1:
            raise PrivacyError("a cost's rounds must be a whole number from 1", value=self.rounds)
        check_sampling(self.sampling, self.probability)
        check_separation(self.sampling, self.minimum_separation)
        if self.mechanism is not None:
            MECHANISMS.check(self.mechanism)

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields, JSON-able, as ledgers keep them; without ``mechanism`` where that is the Gaussian."""
        kept = asdict(self)
        return kept if self.mechanism is not None else {name: kept[name] for name in kept if name != "mechanism"}

    @property
    def participations(self) -> int:
        """The most rounds that one row is counted in: all of them, with cyclic sampling ceil(rounds/separation)."""
        return -(-self.rounds // self.minimum_separation)

    @property
    def amplified(self) -> bool:
        """Whether amplification by sampling is claimed for it."""
        return self.sampling == "poisson" and self.probability < 1

    @property
    def exact(self) -> bool:
        """Whether it composes exactly with others of its kind: Gaussian, and no amplification claimed."""
        return self.mechanism is None and not self.amplified


def epsilon(costs: Iterable[QueryCost], delta: float) -> float:
    """The epsilon, at ``delta``, of all costs together; 0.0 of none.

    An upper bound with Poisson-sampled costs, exact without.  Without them it also holds when each cost was chosen
    after seeing the results so far (Smith and Thakurta, Fully Adaptive Composition for Gaussian Differential Privacy,
    2022); with them, noise, rounds and probabilities must have been planned before.  So with noise that is not
    Gaussian.

    Raises:
        PrivacyError: delta is not in (0, 1), or a mechanism declares what the accountant cannot compose.
    """
    return epsilon_of(0.0, costs, delta)


def epsilon_of(gaussian: float, costs: Iterable[QueryCost], delta: float) -> float:
    """As `epsilon`, of costs together with Gaussian releases whose 1/z^2 add up to ``gaussian``."""
    check_delta(delta)
    exact, others = _normalised(costs)
    if not others:
        return _gaussian_epsilon(gaussian + exact, delta)
    return float(_composed(gaussian + exact, others).get_epsilon(delta))


def delta(costs: Iterable[QueryCost], epsilon: float) -> float:
    """The smallest delta for which all costs together are (epsilon, delta)-private, 0 to 1; bounds as `epsilon`'s.

    Raises:
        PrivacyError: epsilon is negative or not finite.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PrivacyError("an epsilon must be finite and at least 0", value=epsilon)
    exact, others = _normalised(costs)
    if not others:
        return gaussian_delta(1 / math.sqrt(exact), epsilon) if exact else 0.0
    return float(_composed(exact, others).get_delta(epsilon))


def epsilon_without_amplification(costs: Iterable[QueryCost], delta: float) -> float:
    """The epsilon towards somebody who knows who took part when, as the server does.

    That a sample was secret counts for nothing then; that a row had few participations (cyclic sampling) still counts.
    """
    return epsilon((_known_to_all(cost) for cost in costs), delta)


def equivalent_noise(costs: Iterable[QueryCost]) -> float:
    """The noise multiplier of the one full-participation Gaussian that all costs, without amplification, amount to.

    Infinite when there are no costs.  Raises PrivacyError where a cost is not Gaussian.
    """
    costs = list(costs)
    if other := [cost.mechanism for cost in costs if cost.mechanism is not None]:
        raise PrivacyError("noise that is not Gaussian amounts to no Gaussian exactly", value=other[0])
    total = math.fsum(cost.participations / cost.noise_multiplier**2 for cost in costs)
    return 1 / math.sqrt(total) if total else math.inf


def rounds_apart(population: int, cohort: int) -> int:
    """Rounds from one participation of a device to its next, where ``population`` are dealt into groups of at most
    ``cohort``.

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


def check_sampling(sampling: str, probability: float) -> None:
    """Raises PrivacyError unless the sampling is a known kind and its probability fits it."""
    if sampling not in get_args(Sampling):
        raise PrivacyError(f"a sampling must be one of {', '.join(get_args(Sampling))}", value=sampling)
    if not 0 < probability <= 1:
        raise PrivacyError("a sampling probability must be above 0 and at most 1", value=probability)
    if sampling == "full" and probability != 1:
        raise PrivacyError("with full participation the probability is 1", value=probability)


def check_separation(sampling: str, minimum_separation: int) -> None:
    """Raises PrivacyError unless the separation is a whole number from 1, and 1 unless cohorts are cyclic."""
    if isinstance(minimum_separation, bool) or not isinstance(minimum_separation, int) or minimum_separation < 1:
        raise PrivacyError("a cost's separation must be a whole number from 1", value=minimum_separation)
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


_Others = tuple[tuple[float, float, str, int], ...]


def event_of(noise_multiplier: float, probability: float = 1.0, mechanism: str | None = None) -> Any:
    """One release as dp-accounting describes it; sampled where the probability is below 1."""
    import dp_accounting

    if mechanism is None:
        event = dp_accounting.GaussianDpEvent(noise_multiplier)
    else:
        event = MECHANISMS[mechanism].dp_event(noise_multiplier)
    return event if probability == 1 else dp_accounting.PoissonSampledDpEvent(probability, event)


def _normalised(costs: Iterable[QueryCost]) -> tuple[float, _Others]:
    """The exact part as its total 1/z^2, and the others as sorted (z, probability, mechanism, rounds), rounds merged.

    The probability is 1 where no amplification is claimed, and the rounds are then those that a row takes part in.
    """
    exact: list[float] = []
    others: dict[tuple[float, float, str], int] = {}
    for cost in costs:
        z = float(cost.noise_multiplier)
        if cost.exact:
            exact.append(cost.participations / z**2)
            continue
        place = (z, float(cost.probability) if cost.amplified else 1.0, cost.mechanism or "")
        others[place] = others.get(place, 0) + (cost.rounds if cost.amplified else cost.participations)
    return math.fsum(exact), tuple(sorted((*place, rounds) for place, rounds in others.items()))


@lru_cache(maxsize=1024)
def _gaussian_epsilon(total: float, delta: float) -> float:
    return gaussian_epsilon(1 / math.sqrt(total), delta) if total else 0.0


@lru_cache(maxsize=64)
def _composed(exact: float, others: _Others) -> Any:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(value_discretization_interval=_interval(exact, others))
    if exact:
        accountant.compose(dp_accounting.GaussianDpEvent(1 / math.sqrt(exact)))
    for z, probability, mechanism, rounds in others:
        event = event_of(z, probability, mechanism or None)
        if not accountant.supports(event):
            raise PrivacyError(
                f"the accountant cannot compose what the mechanism {mechanism!r} declares",
                value=str(event),
                action="Declare a Gaussian or Laplace event, and use sampling other than poisson if it is sampled",
            )
        accountant.compose(dp_accounting.SelfComposedDpEvent(event, rounds))
    return accountant


def _interval(exact: float, others: _Others) -> float:
    """The grid on which losses are laid: a sixteenth of a typical loss of a round, coarser where losses are huge.

    Too coarse a grid overstates epsilon (never understates it); too fine a one costs time and memory.
    """
    finest = min(probability / (16 * z) for z, probability, _, _ in others)
    least_noise = min([z for z, _, _, _ in others] + ([1 / math.sqrt(exact)] if exact else []))
    return min(max(finest, 1e-4), 1e-3) * max(1.0, (0.3 / least_noise) ** 2)
