"""The f-DP test: against a linear programme, its level and power on the Gaussian mechanism, and its families."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import linprog
from scipy.special import expit

from fedrec.audit.families import Claim
from fedrec.audit.fdp import CurveTradeOff, GaussianTradeOff, TradeOff, fdp_p_value, refuted
from fedrec.audit.guesses import guess
from fedrec.audit.one_run import GuessCount
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, gaussian_delta, gaussian_noise


def most_by_programme(canaries: int, guesses: int, correct: int, tradeoff: TradeOff) -> float:
    """The most mass on ``correct`` or more under every inequality of the proof, the curve cut out by its tangents."""
    points = np.linspace(1e-4, 1 - 1e-4, 400)
    step = 1e-6
    value = np.array([tradeoff.least(x) for x in points])
    slope = np.array([(tradeoff.least(x + step) - tradeoff.least(x - step)) / (2 * step) for x in points])
    hits = np.arange(guesses + 1)
    rows, limits = [], []
    for k in range(1, guesses + 1):
        right = np.where(hits >= k, hits, 0) / canaries
        wrong = np.where(hits >= k - 1, guesses - hits, 0) / canaries
        for at, height, rise in zip(points, value, slope, strict=True):
            rows.append(rise * right - wrong)
            limits.append(rise * at - height)
    found = linprog(
        -(hits >= correct).astype(float), np.array(rows), np.array(limits), np.ones((1, guesses + 1)), [1.0]
    )
    return float(-found.fun)


@pytest.mark.parametrize(("canaries", "guesses"), [(4, 4), (6, 3), (10, 5)])
@pytest.mark.parametrize("mu", [0.3, 1.0])
def test_no_mass_could_be_placed_better_than_step_by_step(canaries: int, guesses: int, mu: float) -> None:
    """The proof says that the greedy placing is least; a linear programme over all placings must find no more."""
    tradeoff = GaussianTradeOff(mu)
    for correct in range(guesses // 2 + 1, guesses + 1):
        greedy = fdp_p_value(GuessCount(canaries, guesses, correct), tradeoff)
        assert greedy == pytest.approx(most_by_programme(canaries, guesses, correct, tradeoff), rel=0.03, abs=1e-3)


def accuracy(mu: float, size: int, seed: int, guesses: int) -> GuessCount:
    rng = np.random.default_rng(seed)
    included = rng.random(size) < 0.5
    return guess(rng.normal(size=size) + mu * included, included, guesses)


@pytest.mark.parametrize("guesses", [1000, 250])
def test_a_right_claim_is_hardly_ever_refuted(guesses: int) -> None:
    """Independent Gaussian releases are not the worst case of the bound, so it errs less often than its 5%."""
    refusals = [refuted(accuracy(1.0, 1000, seed, guesses), GaussianTradeOff(1.0), 0.05) for seed in range(200)]
    assert sum(refusals) <= 10


def test_half_the_noise_is_found() -> None:
    refusals = [refuted(accuracy(2.0, 1000, seed, 250), GaussianTradeOff(1.0), 0.05) for seed in range(50)]
    assert sum(refusals) >= 48


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_the_level_holds_on_randomised_response(epsilon: float) -> None:
    """Pure epsilon as a curve: the chance, over all counts, that the true claim is refuted is at most 5%."""
    tradeoff = CurveTradeOff([epsilon], [0.0])
    above = np.array([refuted(GuessCount(200, 200, hits), tradeoff, 0.05) for hits in range(201)])
    assert stats.binom.pmf(np.arange(201), 200, expit(epsilon))[above].sum() <= 0.05
    assert above[-1]


def test_a_mechanism_that_gives_all_away_sometimes_is_within_its_p_value() -> None:
    """All coins with chance delta, else nothing: correlated as no independent guesses are, and within the bound."""
    delta, canaries = 0.02, 50
    tradeoff = CurveTradeOff([0.0], [delta])
    blind = np.array([math.comb(canaries, hits) for hits in range(canaries + 1)]) / 2.0**canaries
    for correct in (30, 40, 50):
        tail = delta + (1 - delta) * blind[correct:].sum()
        assert tail <= fdp_p_value(GuessCount(canaries, canaries, correct), tradeoff) * 1.02


@settings(max_examples=50)
@given(st.floats(0.001, 0.999), st.floats(0, 4))
def test_the_curve_of_a_gaussian_is_below_its_trade_off_and_near(power: float, mu: float) -> None:
    """(epsilon_j, delta_j) lists claim less than the whole curve, never more."""
    epsilons = np.linspace(0, 30, 600)
    curve = CurveTradeOff(list(epsilons), [gaussian_delta(1 / max(mu, 1e-3), e) for e in epsilons])
    exact = GaussianTradeOff(mu).least(power)
    assert curve.least(power) <= exact + 1e-6
    assert curve.least(power) >= exact - 0.02


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.floats(0.6, 1.0), st.floats(0, 3), st.floats(0, 3))
def test_a_weaker_claim_is_refuted_less(guesses: int, share: float, one: float, two: float) -> None:
    count = GuessCount(2 * guesses, guesses, int(share * guesses))
    low, high = sorted((one, two))
    assert refuted(count, GaussianTradeOff(low), 0.05) or not refuted(count, GaussianTradeOff(high), 0.05)
    assert fdp_p_value(count, GaussianTradeOff(low)) <= fdp_p_value(count, GaussianTradeOff(high)) * 1.02


def test_the_lower_bound_is_the_last_epsilon_that_is_refuted() -> None:
    claim = Claim((QueryCost("training", gaussian_noise(4.0, 1e-5)),), 1e-5)
    count = accuracy(claim.mu, 1000, 3, 250)
    bound = claim.lower_bound(count, 0.95)
    assert 1.0 < bound < 4.0
    for epsilon, expected in ((bound * 0.99, True), (bound * 1.03, False)):
        assert refuted(count, GaussianTradeOff(1 / gaussian_noise(epsilon, 1e-5)), 0.05) is expected
    assert claim.lower_bound(GuessCount(1000, 1000, 500), 0.95) == 0.0


def test_a_sampled_claim_is_held_to_its_own_curve() -> None:
    """Amplified by sampling: the claim's curve is composed; perfect guesses are far beyond it, fair ones are not."""
    claim = Claim((QueryCost("training", 1.0, 5, "poisson", 0.1),), 1e-5)
    assert claim.lower_bound(accuracy(claim.mu, 1000, 1, 250), 0.95) < claim.epsilon
    always_in = accuracy(math.sqrt(5), 1000, 1, 250)
    assert claim.lower_bound(always_in, 0.95) > claim.epsilon
    assert fdp_p_value(always_in, claim.tradeoff()) < 0.01


def test_a_run_without_noise_claims_nothing() -> None:
    with pytest.raises(PrivacyError, match="claims nothing"):
        Claim((), 1e-5)
    with pytest.raises(PrivacyError, match="as many deltas"):
        CurveTradeOff([1.0], [])
