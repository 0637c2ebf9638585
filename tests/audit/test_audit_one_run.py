"""The one-run bound: its p-value against enumeration, its level on mechanisms of known epsilon, and its power."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from fedrec.audit.one_run import GuessCount, epsilon_lower_bound, p_value
from fedrec.errors import PrivacyError


def enumerated(guesses: int, correct: int, epsilon: float, delta: float, canaries: int) -> float:
    """Theorem 5.2, term by term, over all 2^r outcomes of r independent guesses."""
    right = math.exp(epsilon) / (1 + math.exp(epsilon))
    chance = [0.0] * (guesses + 1)
    for outcome in itertools.product((0, 1), repeat=guesses):
        hits = sum(outcome)
        chance[hits] += right**hits * (1 - right) ** (guesses - hits)
    tail = sum(chance[correct:])
    worst = max((sum(chance[max(0, correct - i) : correct]) / i for i in range(1, canaries + 1)), default=0.0)
    return min(1.0, tail + 2 * canaries * delta * worst)


@settings(max_examples=60, deadline=None)
@given(st.data(), st.floats(0, 3), st.sampled_from([0.0, 1e-6, 1e-3, 0.05]))
def test_the_p_value_is_the_theorem_term_by_term(data: st.DataObject, epsilon: float, delta: float) -> None:
    canaries = data.draw(st.integers(1, 9))
    guesses = data.draw(st.integers(0, canaries))
    correct = data.draw(st.integers(0, guesses))
    found = p_value(GuessCount(canaries, guesses, correct), epsilon, delta)
    assert found == pytest.approx(enumerated(guesses, correct, epsilon, delta, canaries), rel=1e-9)


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 2.0])
def test_randomised_response_meets_the_p_value_exactly(epsilon: float) -> None:
    """The mechanism that the theorem is tight for, over all coins and all answers of 4 canaries."""
    keep = float(expit(epsilon))
    chance = np.zeros(5)
    for coins in itertools.product((0, 1), repeat=4):
        for answers in itertools.product((0, 1), repeat=4):
            same = sum(a == b for a, b in zip(coins, answers, strict=True))
            chance[same] += keep**same * (1 - keep) ** (4 - same) / 16
    for correct in range(5):
        assert p_value(GuessCount(4, 4, correct), epsilon, 0.0) == pytest.approx(chance[correct:].sum())


@pytest.mark.parametrize("delta", [1e-3, 1e-2, 0.1])
def test_a_mechanism_that_gives_all_away_with_chance_delta_stays_below_the_p_value(delta: float) -> None:
    """(0, delta): tell all coins with chance delta, nothing otherwise. Its tails may not be above the bound."""
    canaries = 6
    blind = np.array([math.comb(canaries, hits) for hits in range(canaries + 1)]) / 2**canaries
    for correct in range(1, canaries + 1):
        tail = delta + (1 - delta) * blind[correct:].sum()
        assert tail <= p_value(GuessCount(canaries, canaries, correct), 0.0, delta) + 1e-12


@pytest.mark.parametrize(("epsilon", "confidence"), [(0.5, 0.95), (2.0, 0.95), (2.0, 0.8)])
def test_the_bound_is_above_the_truth_no_more_often_than_it_says(epsilon: float, confidence: float) -> None:
    """Randomised response with this epsilon exactly: the chance, over all counts of 400, and in 1,000 audits."""
    above = np.array(
        [epsilon_lower_bound(GuessCount(400, 400, hits), 0.0, confidence) > epsilon for hits in range(401)]
    )
    chance = float(stats.binom.pmf(np.arange(401), 400, expit(epsilon))[above].sum())
    assert 0.5 * (1 - confidence) < chance <= 1 - confidence
    hits = np.random.default_rng(5).binomial(400, expit(epsilon), size=1000)
    assert stats.binomtest(int(above[hits].sum()), 1000, 1 - confidence, alternative="greater").pvalue > 1e-3


def test_the_bound_nears_the_truth_with_many_canaries() -> None:
    rng = np.random.default_rng(6)
    found = [
        epsilon_lower_bound(GuessCount(size, size, int(rng.binomial(size, expit(2.0)))), 0.0, 0.95)
        for size in (100, 10_000, 1_000_000)
    ]
    assert found == sorted(found)
    assert 1.98 < found[-1] <= 2.0


@given(st.integers(1, 300), st.floats(0, 5), st.floats(0, 5), st.floats(0, 0.01))
def test_larger_claims_and_fewer_hits_are_harder_to_refute(guesses: int, one: float, two: float, delta: float) -> None:
    hits = guesses * 3 // 4
    low, high = sorted((one, two))
    assert (
        p_value(GuessCount(guesses, guesses, hits), low, 0.0)
        <= p_value(GuessCount(guesses, guesses, hits), high, 0.0) + 1e-12
    )
    count = GuessCount(guesses, guesses, hits)
    assert p_value(count, low, delta) >= p_value(count, low, 0.0)


def test_nothing_is_learned_from_chance_or_from_silence() -> None:
    assert epsilon_lower_bound(GuessCount(1000, 1000, 500), 1e-5, 0.95) == 0.0
    assert epsilon_lower_bound(GuessCount(1000, 0, 0), 1e-5, 0.95) == 0.0
    assert p_value(GuessCount(1000, 0, 0), 1.0, 1e-5) == 1.0


def test_a_large_delta_takes_the_bound_away() -> None:
    count = GuessCount(1000, 200, 195)
    bounds = [epsilon_lower_bound(count, delta, 0.95) for delta in (0.0, 1e-5, 1e-3, 1e-2)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] > 2.5
    assert bounds[-1] == 0.0


@pytest.mark.parametrize("numbers", [(0, 0, 0), (10, 11, 5), (10, 5, 6), (10, 5, -1)])
def test_counts_that_do_not_add_up_are_refused(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(PrivacyError, match="does not add up"):
        GuessCount(*numbers)


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(PrivacyError, match="epsilon >= 0"):
        p_value(GuessCount(10, 5, 3), -1.0, 0.0)
    with pytest.raises(PrivacyError, match="delta in"):
        p_value(GuessCount(10, 5, 3), 1.0, 1.5)
    with pytest.raises(PrivacyError, match="confidence"):
        epsilon_lower_bound(GuessCount(10, 5, 3), 0.0, 1.0)
