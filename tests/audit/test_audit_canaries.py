"""Canaries and what is expected of them: as strong as the bounds allow, and what the devices' own code adds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from fedrec.audit import expected
from fedrec.audit.canaries import Canaries, spread
from fedrec.audit.families import Claim
from fedrec.audit.guesses import expected_count, guess
from fedrec.audit.one_run import Count
from fedrec.audit.scores import log_likelihood_ratios
from fedrec.audit.verdict import bounds, count_guesses, estimate, plan_guesses, pooled
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import Spend, gaussian_noise
from fedrec.randomness import key
from fedrec.training import signals
from fedrec.training.population import Population


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 200), st.integers(16, 1500))
def test_directions_are_of_unit_length_and_at_right_angles_where_there_is_room(count: int, length: int) -> None:
    directions = Canaries.draw(count, 500, 1).directions(length)
    assert directions.shape == (count, length)
    gram = (directions @ directions.T).toarray()
    assert gram.diagonal() == pytest.approx(np.ones(count))
    if count <= length:
        assert np.array_equal(gram != 0, np.eye(count, dtype=bool))


def test_coins_are_fair_and_of_the_seed() -> None:
    coins = np.concatenate([Canaries.draw(1000, 500, seed).included for seed in range(20)])
    assert stats.binomtest(int(coins.sum()), len(coins)).pvalue > 1e-3
    one, other = (Canaries.draw(200, 500, seed) for seed in (1, 2))
    assert np.array_equal(one.included, Canaries.draw(200, 500, 1).included)
    assert not np.array_equal(one.included, other.included)
    assert not np.array_equal(one.histories, other.histories)


def test_signs_turn_over_every_round() -> None:
    canaries = Canaries.draw(31, 500, 1)
    total = sum(canaries.signs(number) for number in range(1, 5))
    assert np.array_equal(total, np.zeros(31))
    assert set(canaries.signs(1)) == {1.0, -1.0}


@given(st.integers(1, 60), st.integers(2, 40), st.integers(1, 2))
def test_places_are_used_up_before_any_is_used_again(count: int, length: int, width: int) -> None:
    places = spread(count, length, width, key(0, "places"))
    assert places.shape == (count, width)
    assert all(len(set(row)) == width for row in places.tolist())
    first = places[: length // width].ravel()
    assert len(set(first.tolist())) == len(first)


def canary_population(canaries: Canaries) -> Population:
    width = canaries.histories.shape[1]
    indptr = np.arange(len(canaries) + 1, dtype=np.int64) * width
    return Population(canaries.keys, indptr, canaries.histories.ravel(), np.full(len(canaries), -1, np.int32))


@pytest.mark.parametrize("catalogue", [60, 30])
@pytest.mark.parametrize("bound", [0.72, 1.0])
def test_expectations_are_what_devices_add(catalogue: int, bound: float) -> None:
    """With one item each, and with two where the catalogue is smaller than the canaries are many."""
    canaries = Canaries.draw(40, catalogue, 3)
    assert canaries.histories.shape[1] == (1 if catalogue == 60 else 2)
    everybody = canary_population(canaries)
    items = np.arange(0, catalogue, 2, dtype=np.int64)
    counted = expected.in_popularity(canaries, catalogue, bound).toarray()
    together = expected.in_cooccurrence(canaries, items, catalogue, bound).toarray()
    for place in range(len(canaries)):
        alone = everybody.select(np.array([place]))
        assert counted[place] == pytest.approx(signals.popularity(alone, catalogue, bound))
        assert together[place] == pytest.approx(
            signals.cooccurrence(alone, items, catalogue, normalise=1.0, bound=bound)
        )
    assert np.linalg.norm(together, axis=1).max() == pytest.approx(bound)


def test_scores_are_exact_log_likelihood_ratios() -> None:
    """Two canaries at right angles in three elements: against the densities, with and without secret sampling."""
    parts = sparse.csr_matrix(np.array([[0.6, 0.0, 0.8], [0.0, 2.0, 0.0]]))
    seen, sigma = np.array([0.3, -0.7, 1.1]), 1.5
    for probability in (1.0, 0.2):
        scores = log_likelihood_ratios(parts, seen, sigma, probability=probability)
        for place, part in enumerate(parts.toarray()):
            there = stats.norm.pdf(seen, part, sigma).prod()
            away = stats.norm.pdf(seen, 0, sigma).prod()
            mixed = probability * there + (1 - probability) * away
            assert scores[place] == pytest.approx(np.log(mixed / away))


def test_canaries_that_were_not_asked_say_nothing() -> None:
    parts = sparse.csr_matrix(np.eye(3))
    asked = np.array([True, False, True])
    scores = log_likelihood_ratios(parts, np.ones(3), 1.0, asked=asked)
    assert scores.tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize(("sigma", "probability"), [(0.0, 1.0), (1.0, 0.0), (1.0, 1.1)])
def test_scores_refuse_what_is_out_of_range(sigma: float, probability: float) -> None:
    with pytest.raises(PrivacyError):
        log_likelihood_ratios(sparse.csr_matrix(np.eye(2)), np.ones(2), sigma, probability=probability)


def test_guesses_go_by_rank_and_abstain_in_the_middle() -> None:
    scores = np.array([5.0, -5.0, 0.1, 4.0, -4.0, -0.1])
    included = np.array([True, False, False, True, True, False])
    assert guess(scores, included, 4) == Count(6, 4, 3)
    assert guess(scores, included, 0) == Count(6, 0, 0)
    assert guess(scores * 3 + 100, included, 4) == Count(6, 4, 3)
    with pytest.raises(PrivacyError):
        guess(scores, included, 7)
    with pytest.raises(PrivacyError):
        guess(np.array([np.nan]), np.array([True]), 1)


def test_the_expected_count_is_the_mean_of_counts() -> None:
    rng = np.random.default_rng(0)
    for guesses in (1000, 200):
        counts = []
        for _ in range(60):
            included = rng.random(1000) < 0.5
            counts.append(guess(rng.normal(size=1000) + 1.2 * included, included, guesses).correct)
        assert expected_count(1000, guesses, 1.2).correct == pytest.approx(np.mean(counts), rel=0.02)


def test_the_verdict_and_the_estimate_on_normal_scores() -> None:
    claim = Claim((Spend("training", gaussian_noise(4.0, 1e-5)),), 1e-5)
    rng = np.random.default_rng(1)
    included = rng.random(2000) < 0.5
    plan = plan_guesses(claim, 2000, 0.95)
    for strength, violated in ((1.0, False), (2.0, True)):
        scores = 7 + 3 * (rng.normal(size=2000) + strength * claim.mu * included)
        found = bounds(claim, count_guesses(scores, included, plan), 0.95)
        assert found["violated"] is violated
        assert found["f_dp"]["epsilon_lower_bound"] > 0.4 * claim.epsilon
        assert estimate(claim, scores, included)["mu"] == pytest.approx(strength * claim.mu, rel=0.12)
    everybody = np.ones(2000, dtype=bool)
    assert estimate(claim, scores, everybody)["epsilon"] is None


def test_runs_pool() -> None:
    one = {"one_run": Count(10, 5, 4), "f_dp": Count(10, 10, 7)}
    assert pooled([one, one, one]) == {"one_run": Count(30, 15, 12), "f_dp": Count(30, 30, 21)}
    with pytest.raises(PrivacyError):
        pooled([])


@pytest.mark.parametrize(("count", "catalogue"), [(15, 100), (20_001, 100), (16, 1)])
def test_numbers_of_canaries_that_cannot_be(count: int, catalogue: int) -> None:
    with pytest.raises(PrivacyError):
        Canaries.draw(count, catalogue, 0)
