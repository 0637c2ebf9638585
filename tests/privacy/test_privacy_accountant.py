"""The accountant: published figures, other accountants, and the laws of composition."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from dp_accounting import (
    GaussianDpEvent,
    NeighboringRelation,
    PoissonSampledDpEvent,
    SelfComposedDpEvent,
    get_epsilon_gaussian,
    get_sigma_gaussian,
)
from dp_accounting.pld import PLDAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import (
    QueryCost,
    delta,
    epsilon,
    epsilon_without_amplification,
    equivalent_noise,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_noise,
)

USERS = 6040
DELTA = USERS**-1.1
RATE = 100 / USERS
NOISE = st.floats(0.3, 50)
SPEND = st.builds(QueryCost, st.just("training"), NOISE, st.integers(1, 300))


# A population of 6,040, 200 rounds of 100 devices, delta N^-1.1: noise for epsilon 1, 3 and 8.
@pytest.mark.parametrize(("noise", "expected"), [(1.1132, 1.0), (0.7245, 3.0), (0.5204, 8.0)])
def test_poisson_sampled_training_costs_what_is_known(noise: float, expected: float) -> None:
    assert epsilon([QueryCost("training", noise, 200, "poisson", RATE)], DELTA) == pytest.approx(expected, rel=0.003)


# Without amplification each device takes part in ceil(200 * 100 / 6040) = 4 rounds; once, a quarter of that.
@pytest.mark.parametrize(("noise", "rounds", "expected"), [(6.55, 4, 1.0), (2.50, 4, 3.0), (1.11, 4, 8.0)])
def test_unamplified_training_costs_what_is_known(noise: float, rounds: int, expected: float) -> None:
    for sampling in (("full", 1.0), ("fixed", RATE), ("poisson", 1.0)):
        cost = QueryCost("training", noise, rounds, *sampling)
        assert epsilon([cost], DELTA) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("noise", "expected"), [(3.3, 1.0), (1.25, 3.0), (0.55, 8.0)])
def test_one_full_release_costs_what_is_known(noise: float, expected: float) -> None:
    assert epsilon([QueryCost("popularity", noise)], DELTA) == pytest.approx(expected, rel=0.01)


def test_fixed_size_sampling_is_not_amplified() -> None:
    fixed = QueryCost("training", 1.1, 200, "fixed", RATE)
    poisson = QueryCost("training", 1.1, 200, "poisson", RATE)
    full = epsilon([QueryCost("training", 1.1, 200)], DELTA)
    assert epsilon([fixed], DELTA) == full > 50 * epsilon([poisson], DELTA)
    assert epsilon_without_amplification([poisson], DELTA) == full
    assert not fixed.amplified
    assert poisson.amplified
    assert not QueryCost("training", 1.1, 200, "poisson", 1.0).amplified


@given(st.lists(SPEND, min_size=1, max_size=6))
def test_full_releases_collapse_into_one_gaussian(costs: list[QueryCost]) -> None:
    one = equivalent_noise(costs)
    assert 1 / one**2 == pytest.approx(sum(cost.rounds / cost.noise_multiplier**2 for cost in costs))
    together = gaussian_delta(one, 1.0)
    assert delta(costs, 1.0) == pytest.approx(together, rel=1e-6, abs=1e-300)


def test_the_exact_formula_agrees_with_composed_loss_distributions() -> None:
    costs = [QueryCost("popularity", 5.0), QueryCost("cooccurrence", 2.0), QueryCost("training", 12.0, 30)]
    accountant = PLDAccountant()
    for cost in costs:
        accountant.compose(SelfComposedDpEvent(GaussianDpEvent(cost.noise_multiplier), cost.rounds))
    numerical = accountant.get_epsilon(DELTA)
    assert numerical * (1 - 1e-4) < epsilon(costs, DELTA) <= numerical


def test_a_mixture_agrees_with_a_finer_composition() -> None:
    accountant = PLDAccountant(value_discretization_interval=1e-4)
    accountant.compose(GaussianDpEvent(2.0))
    accountant.compose(SelfComposedDpEvent(PoissonSampledDpEvent(0.05, GaussianDpEvent(0.9)), 60))
    costs = [QueryCost("cooccurrence", 2.0), QueryCost("training", 0.9, 60, "poisson", 0.05)]
    finest = accountant.get_epsilon(DELTA)
    assert finest * (1 - 1e-5) <= epsilon(costs, DELTA) < finest * 1.001


@pytest.mark.parametrize(("noise", "rate", "rounds"), [(1.11, RATE, 200), (0.8, 0.01, 1000), (2.0, 0.1, 100)])
def test_other_accountants_agree(noise: float, rate: float, rounds: int) -> None:
    """Opacus' PRV brackets the loss distributions' figure within its own error; Renyi's is looser, never tighter."""
    accountants = pytest.importorskip("opacus.accountants")
    ours = epsilon([QueryCost("training", noise, rounds, "poisson", rate)], DELTA)
    prv, rdp = accountants.PRVAccountant(), accountants.RDPAccountant()
    prv.history = rdp.history = [(noise, rate, rounds)]
    assert ours == pytest.approx(prv.get_epsilon(DELTA), rel=0.02)
    assert ours < prv.get_epsilon(DELTA) * 1.001
    assert ours * 1.02 < rdp.get_epsilon(DELTA)


@settings(max_examples=20, deadline=None)
@given(NOISE, st.floats(0.01, 20))
def test_delta_of_a_gaussian_matches_its_definition(noise: float, level: float) -> None:
    """The hockey-stick divergence of N(0, z^2) from N(1, z^2), by summing over a fine grid."""
    points = 5_000
    width = 40 * noise / points
    xs = [(-20 * noise + (i + 0.5) * width) for i in range(points)]
    scale = noise * math.sqrt(2 * math.pi)
    stick = 0.0
    for x in xs:
        a = math.exp(-((x - 1) ** 2) / (2 * noise**2)) / scale
        b = math.exp(-(x**2) / (2 * noise**2)) / scale
        stick += max(0.0, a - math.exp(level) * b) * width
    assert gaussian_delta(noise, level) == pytest.approx(stick, rel=1e-2, abs=1e-7)


@given(st.lists(SPEND, min_size=1, max_size=3), st.floats(1e-8, 1e-2))
def test_epsilon_and_delta_are_inverse(costs: list[QueryCost], at: float) -> None:
    level = epsilon(costs, at)
    if level > 0:
        assert delta(costs, level) == pytest.approx(at, rel=1e-4)
    else:
        assert delta(costs, 0.0) <= at


def test_epsilon_and_delta_are_inverse_under_sampling() -> None:
    costs = [QueryCost("training", 1.0, 50, "poisson", 0.02), QueryCost("metrics", 20.0, 5)]
    assert delta(costs, epsilon(costs, DELTA)) == pytest.approx(DELTA, rel=1e-3)


def test_more_rounds_less_noise_and_larger_rates_cost_more() -> None:
    base = epsilon([QueryCost("training", 1.0, 50, "poisson", 0.02)], DELTA)
    assert epsilon([QueryCost("training", 1.0, 60, "poisson", 0.02)], DELTA) > base
    assert epsilon([QueryCost("training", 0.9, 50, "poisson", 0.02)], DELTA) > base
    assert epsilon([QueryCost("training", 1.0, 50, "poisson", 0.03)], DELTA) > base
    assert epsilon([QueryCost("training", 1.0, 50, "poisson", 0.02), QueryCost("metrics", 9.0)], DELTA) > base


@pytest.mark.parametrize("probability", [0.01, 0.3])
def test_replaced_by_nothing_costs_what_taken_away_does_and_less_than_replaced_by_another(probability: float) -> None:
    """The unit without data is drawn as before, and adds zero: the same two outcomes. Another's data is two steps."""
    cost = QueryCost("training", 1.0, 20, "poisson", probability)
    event = SelfComposedDpEvent(PoissonSampledDpEvent(probability, GaussianDpEvent(1.0)), 20)

    def under(relation: NeighboringRelation) -> float:
        grid = 1e-3
        return float(PLDAccountant(relation, value_discretization_interval=grid).compose(event).get_epsilon(1e-5))

    found = epsilon([cost], 1e-5)
    assert found == pytest.approx(under(NeighboringRelation.ADD_OR_REMOVE_ONE), rel=1e-2)
    assert found < under(NeighboringRelation.REPLACE_ONE)


def test_rounds_may_be_told_one_by_one_and_in_any_order() -> None:
    one = QueryCost("training", 1.0, 1, "poisson", 0.02)
    other = QueryCost("metrics", 4.0)
    assert epsilon([one, other, one, one], DELTA) == epsilon(
        [other, QueryCost("training", 1.0, 3, "poisson", 0.02)], DELTA
    )


def test_nothing_spent_costs_nothing() -> None:
    assert epsilon([], DELTA) == 0.0
    assert delta([], 1.0) == 0.0
    assert equivalent_noise([]) == math.inf


# To the tolerance of the search for a root, in noise times how little epsilon says of it: machines differ in the last
# digit of a logarithm.
@given(st.floats(-2, 5), st.floats(-4, 2.5), st.floats(-12, -0.3))
@settings(max_examples=60, deadline=None)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # dp-accounting takes the logarithm of 0
def test_one_gaussian_release_costs_what_dp_accounting_says(noise: float, level: float, at: float) -> None:
    z, wanted, chance = 10**noise, 10**level, 10**at
    assert gaussian_epsilon(z, chance) == pytest.approx(get_epsilon_gaussian(z, chance), rel=1e-11, abs=1e-11)
    assert gaussian_noise(wanted, chance) == pytest.approx(get_sigma_gaussian(wanted, chance), rel=1e-9, abs=1e-11)


@pytest.mark.parametrize(("level", "at"), [(0.001, 1e-9), (1.0, DELTA), (100.0, 1e-12)])
def test_gaussian_noise_inverts_the_formula(level: float, at: float) -> None:
    assert gaussian_delta(gaussian_noise(level, at), level) == pytest.approx(at, rel=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"query": "secrets"},
        {"noise_multiplier": 0.0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"rounds": 0},
        {"rounds": 1.5},
        {"rounds": True},
        {"sampling": "shuffled"},
        {"sampling": "poisson", "probability": 0.0},
        {"sampling": "poisson", "probability": 1.1},
        {"sampling": "fixed", "probability": math.nan},
        {"sampling": "full", "probability": 0.5},
    ],
)
def test_absurd_spends_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(PrivacyError):
        QueryCost(**{"query": "training", "noise_multiplier": 1.0, **arguments})


def test_absurd_levels_are_refused() -> None:
    for bad in (0.0, 1.0, -1e-5, math.nan):
        with pytest.raises(PrivacyError, match="delta"):
            epsilon([], bad)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(PrivacyError, match="epsilon"):
            delta([], bad)


def test_privacy_and_secure_aggregation_need_no_torch() -> None:
    modules = "accountant", "calibrate", "mechanism", "chain", "ledger", "statement"
    names = ", ".join(f"fedrec.privacy.{name}" for name in modules)
    code = f"import sys, {names}, fedrec.secagg.ring; sys.exit('torch' in sys.modules or 'opacus' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
