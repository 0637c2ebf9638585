"""From a budget to noise: how large each query's noise must be for the whole run to cost epsilon and not more."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, Sampling, check_delta, gaussian_delta, gaussian_noise
from fedrec.privacy.accountant import epsilon as composed_epsilon
from fedrec.privacy.noise_range import LEAST_NOISE, MOST_NOISE, check_noise_multiplier

# A plan's epsilon ends this near below the target: the search aims at the middle of it.
_ROOM = 1e-3


def delta_for(units: int) -> float:
    """The delta for a population of ``units`` privacy units (users, or interactions): units^-1.1, below one in units.

    Raises:
        PrivacyError: there are fewer than 2 units.
    """
    if units < 2:
        raise PrivacyError("a privacy claim needs at least 2 privacy units", value=units, action="Use more data")
    return math.pow(units, -1.1)


def plan(
    epsilon: float,
    delta: float,
    shares: Mapping[str, float],
    rounds: Mapping[str, int],
    sampling: Mapping[str, tuple[Sampling, float]],
    minimum_separation: Mapping[str, int] | None = None,
    mechanism: Mapping[str, str | None] | None = None,
    secret: Mapping[str, bool] | None = None,
) -> list[QueryCost]:
    """The whole run as costs, one for each query that is asked, that together cost at most ``epsilon``.

    Each query gets its share of the budget, counted in 1/z^2 of a full-participation Gaussian; shares are normalised
    over the queries with rounds.  A full-participation query k of T_k rounds gets z_k = s sqrt(T_k / s_k), a cyclic one
    the same with the rounds that a row takes part in.  One that is amplified by sampling, and one whose noise is not
    Gaussian, gets the noise with which its T_k rounds cost what one full-participation Gaussian release of its share
    would.  Then all noise is scaled so that the composed epsilon is at most the target and less than 0.1 % below it.

    Args:
        epsilon: the target, above 0.
        delta: in (0, 1).
        shares: each above 0; must name every query with rounds.
        rounds: rounds of each query; 0 = not asked; with none asked the plan is empty.
        sampling: kind and probability of each query; full participation where absent.
        minimum_separation: rounds from one participation of a row to its next, of each query; 1 where absent.
        mechanism: of each query, as `registry.declared` names it; Gaussian where absent.
        secret: whether cohorts of each query are secret, as of `QueryCost`; they are not where absent.

    Raises:
        PrivacyError: a value is outside its range, a query has no share, or no noise in 0.01 to 1e9 meets it.
    """
    parts = _parts(shares, rounds)
    check_delta(delta)
    if not (math.isfinite(epsilon) and epsilon > 0):
        raise PrivacyError("a target epsilon must be finite and above 0", value=epsilon)
    if not parts:
        return []
    single = gaussian_noise(epsilon, delta)
    costs: list[QueryCost] = []
    for query, part in parts.items():
        noise = single / math.sqrt(part)
        check_noise_multiplier(noise)
        once = QueryCost(
            query,
            noise,
            rounds[query],
            *sampling.get(query, ("full", 1.0)),
            (minimum_separation or {}).get(query, 1),
            (mechanism or {}).get(query),
            (secret or {}).get(query, False),
        )
        alike = _with_noise(once, noise * math.sqrt(once.participations))
        near = alike if alike.exact else _near(alike, noise)
        # One query alone is scaled to the target from wherever it starts; several must first share it as they should.
        costs.append(near if near.exact or len(parts) == 1 else _costing_like(near, noise, delta))
    return _scaled(costs, epsilon, delta)


def with_room(costs: list[QueryCost], attempts: int) -> list[QueryCost]:
    """A plan with so much more noise that ``attempts`` further releases, each of the dearest, cost no more in all.

    Of Gaussian costs without amplification: their 1/z^2 add up.  Raises PrivacyError for others, or noise out of range.
    """
    if not attempts or not costs:
        return costs
    if not all(cost.exact for cost in costs):
        raise PrivacyError("there is room for further attempts only where costs add up", value=attempts)
    dearest = max(1 / cost.noise_multiplier**2 for cost in costs)
    whole = math.fsum(cost.participations / cost.noise_multiplier**2 for cost in costs)
    factor = math.sqrt(1 + attempts * dearest / whole)
    return [_with_noise(cost, cost.noise_multiplier * factor) for cost in costs]


def _parts(shares: Mapping[str, float], rounds: Mapping[str, int]) -> dict[str, float]:
    """The shares of the queries with rounds, normalised to sum 1."""
    asked = [query for query, count in rounds.items() if count != 0]
    for query in asked:
        if isinstance(rounds[query], bool) or not isinstance(rounds[query], int) or rounds[query] < 0:
            raise PrivacyError(f"the rounds of {query} must be a whole number from 0", value=rounds[query])
        if query not in shares:
            action = f"Add {query} to privacy.shares, or do not ask it"
            raise PrivacyError("a query that is asked has no share of the budget", value=query, action=action)
        if not (math.isfinite(shares[query]) and shares[query] > 0):
            raise PrivacyError(f"the share of {query} must be finite and above 0", value=shares[query])
    total = math.fsum(shares[query] for query in asked)
    return {query: shares[query] / total for query in asked}


def _near(cost: QueryCost, noise: float) -> QueryCost:
    """The cost with about the noise that makes it cost what one full Gaussian release with ``noise`` does."""
    if not cost.amplified or cost.sampling == "balls-in-bins":
        return cost
    # The central limit of the composition: mu = q sqrt(T (e^(1/z^2) - 1)) (Bu et al., 2020, section 3).
    spent = noise**2 * cost.probability**2 * cost.participations
    return _with_noise(cost, 1 / math.sqrt(math.log1p(1 / spent)))


def _costing_like(cost: QueryCost, noise: float, delta: float) -> QueryCost:
    """The cost with the noise that makes it cost what one full Gaussian release with ``noise`` does."""
    # Below its own delta at epsilon 0, a Gaussian's epsilon is 0 and says nothing: compare at a smaller delta then.
    compared = min(delta, gaussian_delta(noise, 0.0) / 100)
    wanted = composed_epsilon([QueryCost(cost.query, noise)], compared)

    def cost_at(z: float) -> float:
        return composed_epsilon([_with_noise(cost, z)], compared)

    return _with_noise(cost, _solve(cost_at, wanted, cost.noise_multiplier))


def _scaled(costs: list[QueryCost], target: float, delta: float) -> list[QueryCost]:
    def all_at(factor: float) -> list[QueryCost]:
        return [_with_noise(cost, cost.noise_multiplier * factor) for cost in costs]

    if all(cost.exact for cost in costs):
        return all_at(1 + 1e-9)  # exact already, but for the last digits of the formula's inverse
    return all_at(_solve(lambda factor: composed_epsilon(all_at(factor), delta), target, 1.0))


def _solve(cost: Callable[[float], float], target: float, guess: float) -> float:
    """Find x with cost(x) in (target (1 - room), target]; cost falls as x grows."""
    from scipy.optimize import brentq  # 170 modules, which a run whose noise has a closed form does without

    aim = math.log(target * (1 - _ROOM / 2))

    def gap(log_x: float) -> float:
        return math.log(max(cost(math.exp(log_x)), 1e-300)) - aim

    low = high = math.log(guess)
    step = math.log(1.1)
    while gap(high) > 0:
        low, high, step = high, high + step, 2 * step
    while gap(low) < 0:
        low, high, step = low - step, low, 2 * step
    x = math.exp(brentq(gap, low, high, xtol=1e-5) if low < high else high)
    if not target * (1 - _ROOM) < cost(x) <= target:
        raise PrivacyError("no noise meets the target within 0.1 %", value=target, action="Choose a larger epsilon")
    return x


def _with_noise(cost: QueryCost, z: float) -> QueryCost:
    if not LEAST_NOISE <= z <= MOST_NOISE:
        action = "Choose a smaller epsilon, fewer rounds, or a run without noise"
        raise PrivacyError("the budget asks for noise outside 0.01 to 1e9", value=z, action=action)
    return replace(cost, noise_multiplier=z)
