"""What releases cost: the composed epsilon or delta of noisy sums, described as data (`QueryCost`).

Adjacency: the data of one unit is replaced by nothing, see `fedrec.privacy.adjacency`; N is public.
Full-participation releases with Gaussian noise compose exactly into one Gaussian release whose 1/z^2 is the sum of
theirs (Dong, Roth and Su, Gaussian Differential Privacy, 2022, section 3.2), so these are accounted by the exact
formula of Balle and Wang (ICML 2018, theorem 8).  As soon as an amplified release is among them, the privacy loss
distributions of dp-accounting are composed (`fedrec.privacy.composition`): an upper bound, tight to about 0.1 %.

Cohorts of a fixed size are amplified only where they are drawn in secret (`QueryCost.secret`), and otherwise than
Poisson samples: another takes the place of who is not drawn (`fedrec.privacy.without_replacement`).  Cohorts that
anybody can recompute count a device as in every round. Cyclic sampling (minimum separation) claims no amplification,
but a row is in few rounds and is counted in those only.  That holds for independent noise, and just so for banded
noise of no more bands than rounds lie between two participations of a row (Choquette-Choo et al., NeurIPS 2023,
section 4): see `fedrec.privacy.banded`.  Where devices are dealt each by itself and in secret, that they were is
counted, too (`fedrec.privacy.balls_in_bins`). Poisson amplification is per row.  It may be claimed only if each row
is drawn independently of all others; where a device holds many example-level rows and is drawn as one, the others'
presence tells that the row is in.

Noise of a mechanism that is not Gaussian is accounted by what the mechanism declares of it (`mechanism.Mechanism`),
as one of the losses that are composed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

from scipy.special import log_ndtr

from fedrec.errors import PrivacyError
from fedrec.privacy.composition import ComposedRounds, DealtRounds, composed
from fedrec.privacy.noise_range import check_noise_multiplier
from fedrec.privacy.registry import MECHANISMS
from fedrec.registry import registry_of

Sampling = Literal["full", "poisson", "fixed", "cyclic", "balls-in-bins", "cyclic-poisson"]
_APART = ("cyclic", "balls-in-bins", "cyclic-poisson")  # whose rows take part once in so many rounds


@dataclass(frozen=True)
class QueryCost:
    """``rounds`` releases of one query with the same noise.

    Args:
        query: what was summed.
        noise_multiplier: z, the noise's standard deviation divided by the L2 sensitivity of one row; 0.01 to 1e9.
        rounds: how many releases, at least 1.
        sampling: ``full``: every row takes part; ``poisson``: each row independently with ``probability``, drawn anew
            each round and kept secret; ``fixed``: a cohort of fixed size, without replacement, drawn anew each round;
            ``cyclic``: rows are dealt once into groups that take turns; ``balls-in-bins``: so, each row by itself;
            ``cyclic-poisson``: so, and a Poisson sample of the group whose turn it is.
        probability: a row's chance to be in a round, in (0, 1]; 1 for ``full``; with ``cyclic-poisson`` in one of its
            group's rounds.
        minimum_separation: rounds from one turn of a row to its next, where rows are dealt into groups: as many as
            there are.
        mechanism: the registered mechanism whose noise it is; None = Gaussian.  Of another mechanism, the noise
            multiplier is in its own unit.
        secret: whether cohorts that are ``fixed``, or dealt as ``balls-in-bins``, come from a key that nobody knows who
            sees what is released: then amplification is claimed.  Without, a row counts in every round that it may be
            in.  A Poisson sample is always secret: of one that is not, say ``full``.

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
    secret: bool = False

    def __post_init__(self) -> None:
        if self.query not in registry_of("query"):
            names = ", ".join(registry_of("query").names())
            raise PrivacyError(f"a cost is of one of the queries {names}", value=self.query)
        check_noise_multiplier(self.noise_multiplier)
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or self.rounds < 1:
            raise PrivacyError("a cost's rounds must be a whole number from 1", value=self.rounds)
        check_sampling(self.sampling, self.probability)
        check_separation(self.sampling, self.minimum_separation)
        if self.secret and self.sampling not in ("fixed", "balls-in-bins"):
            raise PrivacyError("a secret sample is of sampling fixed or balls-in-bins", value=self.sampling)
        if self.mechanism is not None:
            MECHANISMS.check(self.mechanism)

    @property
    def facts(self) -> dict[str, Any]:
        """Its fields, JSON-able, as ledgers keep them; ``mechanism`` and ``secret`` where they are not the default."""
        kept = asdict(self)
        left_out = {name for name in ("mechanism", "secret") if not kept[name]}
        return {name: kept[name] for name in kept if name not in left_out}

    @property
    def participations(self) -> int:
        """The most rounds that one row may be in: all of them, of dealt rows ceil(rounds/separation)."""
        return -(-self.rounds // self.minimum_separation)

    @property
    def amplified(self) -> bool:
        """Whether amplification by sampling is claimed for it."""
        if self.probability == 1:
            return False
        return self.sampling in ("poisson", "cyclic-poisson") or (self.secret and self.mechanism is None)

    @property
    def exact(self) -> bool:
        """Whether it composes exactly with others of its kind: Gaussian, and no amplification claimed."""
        return self.mechanism is None and not self.amplified


def epsilon(costs: Iterable[QueryCost], delta: float) -> float:
    """The epsilon, at ``delta``, of all costs together; 0.0 of none.

    An upper bound with amplified costs, exact without.  Without them it also holds when each cost was chosen
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
    if not any(others):
        return _gaussian_epsilon(gaussian + exact, delta)
    return composed(gaussian + exact, *others).get_epsilon(delta)


def delta(costs: Iterable[QueryCost], epsilon: float) -> float:
    """The smallest delta for which all costs together are (epsilon, delta)-private, 0 to 1; bounds as `epsilon`'s.

    Raises:
        PrivacyError: epsilon is negative or not finite.
    """
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise PrivacyError("an epsilon must be finite and at least 0", value=epsilon)
    exact, others = _normalised(costs)
    if not any(others):
        return gaussian_delta(1 / math.sqrt(exact), epsilon) if exact else 0.0
    return composed(exact, *others).get_delta(epsilon)


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
    goal = math.log(delta)
    if math.isinf(noise_multiplier) or _log_gaussian_delta(noise_multiplier, 0.0) < goal:
        return 0.0
    low, high = 0.0, 1.0
    while _log_gaussian_delta(noise_multiplier, high) > goal:
        low, high = high, high * 10
    return _root(lambda epsilon: _log_gaussian_delta(noise_multiplier, epsilon) - goal, low, high)


def gaussian_noise(epsilon: float, delta: float) -> float:
    """The smallest noise multiplier that makes one full-participation Gaussian release (epsilon, delta)-private."""
    goal = math.log(delta)
    low, high = 0.1, 1.0
    while _log_gaussian_delta(low, epsilon) < goal:
        low, high = low / 10, low
    while _log_gaussian_delta(high, epsilon) > goal:
        low, high = high, high * 10
    return _root(lambda noise: _log_gaussian_delta(noise, epsilon) - goal, low, high)


def _log_gaussian_delta(noise_multiplier: float, epsilon: float) -> float:
    """The logarithm of `gaussian_delta`, which does not underflow; minus infinity for 0."""
    threshold = epsilon * noise_multiplier + 1 / (2 * noise_multiplier)
    head, tail = float(log_ndtr(1 / noise_multiplier - threshold)), epsilon + float(log_ndtr(-threshold))
    left = -math.exp(tail - head) if tail <= head else -1.0
    return head + math.log1p(left) if left > -1 else -math.inf


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where it is 0.  As dp-accounting finds it; that is imported only to compose losses, as it takes seconds."""
    from scipy.optimize import brentq

    return float(brentq(function, low, high, xtol=1e-12))


def check_sampling(sampling: str, probability: float) -> None:
    """Raises PrivacyError unless the sampling is a known kind and its probability fits it."""
    if sampling not in get_args(Sampling):
        raise PrivacyError(f"a sampling must be one of {', '.join(get_args(Sampling))}", value=sampling)
    if not 0 < probability <= 1:
        raise PrivacyError("a sampling probability must be above 0 and at most 1", value=probability)
    if sampling == "full" and probability != 1:
        raise PrivacyError("with full participation the probability is 1", value=probability)


def check_separation(sampling: str, minimum_separation: int) -> None:
    """Raises PrivacyError unless the separation is a whole number from 1, and 1 unless rows are dealt into groups."""
    if isinstance(minimum_separation, bool) or not isinstance(minimum_separation, int) or minimum_separation < 1:
        raise PrivacyError("a cost's separation must be a whole number from 1", value=minimum_separation)
    if minimum_separation > 1 and sampling not in _APART:
        raise PrivacyError(
            f"with sampling {sampling!r} a row may be in every round: its separation is 1", value=minimum_separation
        )


def check_delta(delta: float) -> None:
    """Raises PrivacyError unless delta is in (0, 1)."""
    if not 0 < delta < 1:
        raise PrivacyError("a delta must be above 0 and below 1", value=delta, action="Use N^-1.1, N the privacy units")


def _known_to_all(cost: QueryCost) -> QueryCost:
    if cost.sampling in _APART:
        return replace(cost, sampling="cyclic", secret=False)
    return replace(cost, sampling="full", probability=1.0, secret=False)


def _normalised(costs: Iterable[QueryCost]) -> tuple[float, tuple[tuple[ComposedRounds, ...], tuple[DealtRounds, ...]]]:
    """The exact part as its total 1/z^2, and the others: those that compose by rounds, and the dealt ones.

    Of what is not amplified, the rounds are those that a row takes part in.  Costs of the same number of groups are
    taken together, as of one dealing; for another number of groups, rows are dealt anew.
    """
    exact: list[float] = []
    others: dict[tuple[float, float, str, str], int] = {}
    dealt: dict[int, list[tuple[float, int]]] = {}
    for cost in costs:
        z = float(cost.noise_multiplier)
        if cost.exact:
            exact.append(cost.participations / z**2)
        elif cost.amplified and cost.sampling == "balls-in-bins":
            dealt.setdefault(cost.minimum_separation, []).append((z, cost.rounds))
        else:
            # Of the rounds of a row's group, banded noise makes one Gaussian release each: see `banded`.
            sampled = "" if not cost.amplified else "fixed" if cost.sampling == "fixed" else "poisson"
            place = (z, float(cost.probability) if cost.amplified else 1.0, cost.mechanism or "", sampled)
            others[place] = others.get(place, 0) + cost.participations
    releases = sorted(ComposedRounds(*place[:3], rounds, place[3]) for place, rounds in others.items())
    groups = sorted(DealtRounds(count, tuple(sorted(noises))) for count, noises in dealt.items())
    return math.fsum(exact), (tuple(releases), tuple(groups))


@lru_cache(maxsize=1024)
def _gaussian_epsilon(total: float, delta: float) -> float:
    return gaussian_epsilon(1 / math.sqrt(total), delta) if total else 0.0
