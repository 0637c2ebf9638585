"""Canaries and what is expected of them: as strong as the bounds allow, and what the devices' own code adds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import sparse, stats

from fedrec.audit import expected
from fedrec.audit.canaries import Canaries, spread
from fedrec.audit.families import Claim
from fedrec.audit.guesses import expected_count, guess
from fedrec.audit.one_run import GuessCount
from fedrec.audit.outer import OuterParts
from fedrec.audit.scores import log_likelihood_ratios
from fedrec.audit.verdict import bounds, count_guesses, estimate, plan_guesses, pooled
from fedrec.config import Unit
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, gaussian_noise
from fedrec.queries.device.cooccurrence import used_pairs
from fedrec.queries.device.popularity import used_items
from fedrec.queries.device.power_iteration import projected
from fedrec.queries.popularity import example_bound
from fedrec.randomness import key
from fedrec.users import Histories, UserBatch


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


def canary_population(canaries: Canaries, *, secret: bool = True) -> UserBatch:
    """All canaries as they are if every coin says "in" (or, without their secret, "out")."""
    base = np.tile(canaries.base, (len(canaries), 1))
    items = np.hstack([base, canaries.histories]) if secret else base
    indptr = np.arange(len(canaries) + 1, dtype=np.int64) * items.shape[1]
    return UserBatch(Histories(indptr, items.ravel()), keys=canaries.keys)


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
        alone = everybody.take(np.array([place]))
        assert counted[place] == pytest.approx(used_items(alone, catalogue, bound))
        assert together[place] == pytest.approx(used_pairs(alone, items, catalogue, normalise=1.0, bound=bound))
    assert np.linalg.norm(together, axis=1).max() == pytest.approx(bound)


@pytest.mark.parametrize(("unit", "bound", "together"), [("user", 0.72, 0.72), ("example", 1.0, 1 / np.sqrt(6))])
def test_where_short_histories_count_less_a_canary_is_still_at_the_bound(
    unit: Unit, bound: float, together: float
) -> None:
    """What devices add with the secret less what they add without it: all that a row, or an item, may do."""
    canaries, catalogue, full_length = Canaries.draw(40, 90, 3, full_length=6, unit=unit), 90, 6
    assert (canaries.histories.shape[1], len(canaries.base)) == ((6, 0) if unit == "user" else (1, 5))
    assert not np.isin(canaries.histories, canaries.base).any()
    items = np.sort(np.concatenate([canaries.base, np.setdiff1d(np.arange(0, 90, 2), canaries.base)])).astype(np.int64)
    everything = np.arange(catalogue, dtype=np.int64)
    there, away = (canary_population(canaries, secret=secret) for secret in (True, False))

    def moved(answer: Callable[[UserBatch], NDArray[np.float64]], place: int) -> NDArray[np.float64]:
        return answer(there.take(np.array([place]))) - answer(away.take(np.array([place])))

    def paired(population: UserBatch, over: NDArray[np.int64]) -> NDArray[np.float64]:
        return used_pairs(population, over, catalogue, normalise=1.0, bound=bound, short_history_weighting=full_length)

    counted = expected.in_popularity(canaries, catalogue, 1.0, full_length).toarray()
    whole = expected.in_cooccurrence(canaries, everything, catalogue, bound, full_length).toarray()
    some = expected.in_cooccurrence(canaries, items, catalogue, bound, full_length).toarray()
    for place in range(len(canaries)):
        assert counted[place] == pytest.approx(moved(partial(_counted, full_length=full_length), place))
        assert whole[place] == pytest.approx(moved(lambda one: paired(one, everything), place))
        assert some[place] == pytest.approx(moved(lambda one: paired(one, items), place))
    most = 1.0 if unit == "user" else example_bound(full_length)
    assert np.linalg.norm(counted, axis=1) == pytest.approx(most)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(together)


def _counted(population: UserBatch, full_length: int) -> NDArray[np.float64]:
    return used_items(population, 90, 1.0, full_length)


def asked_directions(catalogue: int, rank: int = 5) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    drawn = np.random.default_rng(4)
    centre = drawn.uniform(0.1, 1, catalogue)
    return centre / np.linalg.norm(centre), np.linalg.qr(drawn.normal(size=(catalogue, rank)))[0]


def written_out(parts: OuterParts) -> NDArray[np.float64]:
    left = parts.histories.toarray() - np.outer(parts.along, parts.centre)
    return np.asarray(left[:, :, None] * parts.right[:, None, :]).reshape(len(left), -1)


@pytest.mark.parametrize("catalogue", [60, 30])
@pytest.mark.parametrize("stretched", [1.0, 1.3])
@pytest.mark.parametrize("levelled", [False, True])
def test_in_directions_and_factors_every_canary_is_at_the_bound(
    catalogue: int, stretched: float, levelled: bool
) -> None:
    canaries = Canaries.draw(40, catalogue, 3)
    centre, vectors = asked_directions(catalogue)
    weights = np.random.default_rng(5).uniform(0.3, 2, catalogue) if levelled else None
    parts = expected.in_factors(canaries, stretched * centre, vectors, 1.0, weights)
    whole, everybody = written_out(parts), canary_population(canaries)
    assert parts.shape == whole.shape
    for place in range(len(canaries)):
        alone = everybody.take(np.array([place]))
        own = projected(alone, stretched * centre, vectors, 1.0, weights)
        assert whole[place] == pytest.approx(own, abs=1e-9)
    assert np.linalg.norm(whole, axis=1) == pytest.approx(1.0)


def test_a_canary_that_no_direction_sees_says_nothing() -> None:
    canaries = Canaries.draw(16, 30, 3)
    centre, vectors = np.zeros(30), np.zeros((30, 2))
    vectors[canaries.histories[0, 0], 0] = 1.0
    parts = expected.in_factors(canaries, centre, vectors, 1.0)
    assert np.flatnonzero(parts.squares).tolist() == [0]
    scores = log_likelihood_ratios(parts, np.random.default_rng(1).normal(size=60), 1.0)
    assert np.flatnonzero(scores).tolist() == [0]


@pytest.mark.parametrize("count", [20, 300])
def test_scores_of_outer_products_are_those_of_the_parts_written_out(count: int) -> None:
    canaries = Canaries.draw(count, 40, 3)
    parts = expected.in_factors(canaries, *asked_directions(40), 1.0)
    residual = np.random.default_rng(2).normal(size=parts.shape[1])
    asked = np.arange(count) % 3 > 0
    for probability in (1.0, 0.3):
        found = log_likelihood_ratios(parts, residual, 0.7, asked=asked, probability=probability)
        plain = sparse.csr_matrix(written_out(parts))
        assert found == pytest.approx(log_likelihood_ratios(plain, residual, 0.7, asked=asked, probability=probability))
    with pytest.raises(PrivacyError):
        log_likelihood_ratios(parts, residual[1:], 0.7)


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
    assert guess(scores, included, 4) == GuessCount(6, 4, 3)
    assert guess(scores, included, 0) == GuessCount(6, 0, 0)
    assert guess(scores * 3 + 100, included, 4) == GuessCount(6, 4, 3)
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
    claim = Claim((QueryCost("training", gaussian_noise(4.0, 1e-5)),), 1e-5)
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
    one = {"one_run": GuessCount(10, 5, 4), "f_dp": GuessCount(10, 10, 7)}
    assert pooled([one, one, one]) == {"one_run": GuessCount(30, 15, 12), "f_dp": GuessCount(30, 30, 21)}
    with pytest.raises(PrivacyError):
        pooled([])


@pytest.mark.parametrize(("count", "catalogue"), [(15, 100), (20_001, 100), (16, 1)])
def test_numbers_of_canaries_that_cannot_be(count: int, catalogue: int) -> None:
    with pytest.raises(PrivacyError):
        Canaries.draw(count, catalogue, 0)


def test_a_full_length_longer_than_the_catalogue_is_refused() -> None:
    for unit in ("user", "example"):
        with pytest.raises(PrivacyError, match="short_history_weighting"):
            Canaries.draw(16, 20, 0, full_length=21, unit=unit)
