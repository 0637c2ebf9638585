"""Planning noise: budgets are met from below, shares are kept."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, Sampling, epsilon, gaussian_noise
from fedrec.privacy.calibrate import delta_for, plan, with_room

USERS = 6040
DELTA = delta_for(USERS)
RATE = 100 / USERS
SHARES: dict[str, float] = {"popularity": 0.1, "cooccurrence": 0.5, "training": 0.4}
ROUNDS: dict[str, int] = {"popularity": 1, "cooccurrence": 1, "training": 20}


def noise_of(
    epsilon: float,
    delta: float,
    shares: dict[str, float],
    rounds: dict[str, int],
    sampling: dict[str, tuple[Sampling, float]],
) -> dict[str, float]:
    return {cost.query: cost.noise_multiplier for cost in plan(epsilon, delta, shares, rounds, sampling)}


def _only(rounds: int) -> dict[str, int]:
    return {"training": rounds}


def test_delta_is_below_one_in_the_population() -> None:
    assert delta_for(USERS) == pytest.approx(6.932e-5, rel=1e-3)
    assert delta_for(10) == pytest.approx(10**-1.1)
    for units in (0, 1, -5):
        with pytest.raises(PrivacyError, match="units"):
            delta_for(units)


@pytest.mark.parametrize(("target", "known"), [(1.0, 1.11), (3.0, 0.73), (8.0, 0.52)])
def test_poisson_sampled_noise_is_what_is_known(target: float, known: float) -> None:
    noise = noise_of(target, DELTA, {"training": 1.0}, _only(200), {"training": ("poisson", RATE)})
    assert noise["training"] == pytest.approx(known, rel=0.01)


@pytest.mark.parametrize("kind", ["full", "fixed"])
@pytest.mark.parametrize(("target", "known"), [(1.0, 6.55), (3.0, 2.50), (8.0, 1.11)])
def test_unamplified_noise_is_what_is_known(target: float, known: float, kind: Sampling) -> None:
    sampling: dict[str, tuple[Sampling, float]] = {"training": (kind, 1.0 if kind == "full" else RATE)}
    noise = noise_of(target, DELTA, {"training": 1.0}, _only(math.ceil(200 * RATE)), sampling)
    assert noise["training"] == pytest.approx(known, rel=0.01)


@given(
    target=st.floats(0.01, 100),
    units=st.integers(10, 10**7),
    shares=st.fixed_dictionaries({name: st.floats(0.01, 5) for name in ("popularity", "training", "metrics")}),
    rounds=st.fixed_dictionaries({name: st.integers(1, 500) for name in ("popularity", "training", "metrics")}),
)
def test_full_plans_meet_any_budget_and_keep_their_shares(
    target: float, units: int, shares: dict[str, float], rounds: dict[str, int]
) -> None:
    delta = delta_for(units)
    noise = noise_of(target, delta, shares, rounds, {})
    costs = [QueryCost(query, z, rounds[query]) for query, z in noise.items()]
    assert target * (1 - 1e-3) < epsilon(costs, delta) <= target
    parts = {cost.query: cost.rounds / cost.noise_multiplier**2 for cost in costs}
    for query, part in parts.items():
        assert part / sum(parts.values()) == pytest.approx(shares[query] / sum(shares.values()))


@pytest.mark.parametrize(
    ("target", "kinds", "rate", "rounds"),
    [
        (0.05, ("full", "poisson"), 0.3, 3),
        (1.0, ("full", "poisson"), 0.02, 100),
        (2.0, ("poisson", "poisson"), 0.3, 10),
        (6.0, ("fixed", "poisson"), 0.9, 3),
    ],
)
def test_sampled_plans_meet_the_budget_within_a_thousandth(
    target: float, kinds: tuple[Sampling, Sampling], rate: float, rounds: int
) -> None:
    sampling: dict[str, tuple[Sampling, float]] = {
        "metrics": (kinds[0], 1.0 if kinds[0] == "full" else rate),
        "training": (kinds[1], rate),
    }
    costs = plan(target, DELTA, {"metrics": 0.3, "training": 0.7}, {"metrics": 4, "training": rounds}, sampling)
    assert target * (1 - 1e-3) < epsilon(costs, DELTA) <= target


@pytest.mark.slow
def test_a_sampled_query_costs_what_a_full_release_of_its_share_would() -> None:
    costs = plan(3.0, DELTA, SHARES, ROUNDS, {"training": ("poisson", RATE)})
    noise = {cost.query: cost for cost in costs}
    ratio = noise["popularity"].noise_multiplier / noise["cooccurrence"].noise_multiplier
    assert ratio == pytest.approx(math.sqrt(0.5 / 0.1))
    # Undo the last scaling, which is the same for all, to see what each was planned to cost alone.
    single = gaussian_noise(3.0, DELTA)
    factor = noise["popularity"].noise_multiplier / (single / math.sqrt(0.1))
    unscaled = QueryCost("training", noise["training"].noise_multiplier / factor, 20, "poisson", RATE)
    alone = QueryCost("training", single / math.sqrt(0.4))
    assert epsilon([unscaled], DELTA) == pytest.approx(epsilon([alone], DELTA), rel=2e-3)


def test_amplification_allows_less_noise_and_fixed_size_none() -> None:
    def training(kind: Sampling, rate: float) -> float:
        return noise_of(1.0, DELTA, {"training": 1.0}, _only(50), {"training": (kind, rate)})["training"]

    assert training("fixed", RATE) == training("full", 1.0) == training("poisson", 1.0) > 3 * training("poisson", RATE)


def test_shares_are_normalised_over_what_is_asked() -> None:
    none: dict[str, int] = {"popularity": 1, "cooccurrence": 0, "training": 0}
    assert plan(1.0, DELTA, SHARES, none, {}) == plan(1.0, DELTA, {"popularity": 7.0}, none, {})
    assert plan(1.0, DELTA, SHARES, {"popularity": 0}, {}) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"delta": 1.0}, "delta"),
        ({"rounds": {"metrics": 1}}, "no share"),
        ({"rounds": {"training": -1}}, "rounds"),
        ({"rounds": {"training": 2.5}}, "rounds"),
        ({"shares": {**SHARES, "training": 0.0}}, "share of training"),
        ({"shares": {**SHARES, "training": math.inf}}, "share of training"),
        ({"sampling": {"training": ("poisson", 0.0)}}, "probability"),
        ({"sampling": {"training": ("full", 0.1)}}, "probability"),
        ({"shares": {**SHARES, "popularity": 1e12}, "epsilon": 1e-4}, "noise"),
    ],
)
def test_absurd_plans_are_refused(arguments: dict[str, Any], said: str) -> None:
    usual = {"epsilon": 1.0, "delta": DELTA, "shares": SHARES, "rounds": ROUNDS, "sampling": {}}
    with pytest.raises(PrivacyError, match=said):
        plan(**{**usual, **arguments})


def test_room_for_further_attempts_is_what_they_cost() -> None:
    costs = plan(2.0, 1e-5, {"popularity": 0.5, "training": 0.5}, {"popularity": 1, "training": 8}, {})
    for attempts in (1, 5):
        roomy = with_room(costs, attempts)
        dearest = min(roomy, key=lambda cost: cost.noise_multiplier)
        assert epsilon([*roomy, replace(dearest, rounds=attempts)], 1e-5) == pytest.approx(2.0, rel=1e-6)
    assert with_room(costs, 0) == costs
    with pytest.raises(PrivacyError, match="add up"):
        with_room([QueryCost("training", 1.0, 5, "poisson", 0.1)], 1)
