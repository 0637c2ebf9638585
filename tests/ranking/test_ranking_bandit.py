"""The bandit: Algorithm 1 to the letter, the shared ranking at first, and better than it for a user with a taste."""

from __future__ import annotations

import numpy as np
import pytest
import ranking_cases as cases
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st

from fedrec.errors import ModelError
from fedrec.ranking.bandit import CANDIDATES, Bandit, contexts_of, explored, item_vectors
from fedrec.ranking.topk import top_k

ITEMS, WIDTH, LIST = 300, 12, 10


@given(seed=st.integers(0, 1000), rounds=st.integers(0, 12), explore=st.floats(0, 5))
@few(max_examples=40)
def test_it_is_ridge_regression_with_its_confidence(seed: int, rounds: int, explore: float) -> None:
    """Against the normal equations written out over all that was ever shown, with an explicit inverse."""
    rng = np.random.default_rng(seed)
    bandit = Bandit.fresh(4)
    seen, rewards = np.zeros((0, 4)), np.zeros(0)
    for _ in range(rounds):
        shown, brought = rng.normal(size=(3, 4)), rng.integers(0, 2, 3).astype(float)
        bandit = bandit.heard(shown, brought)
        seen, rewards = np.vstack([seen, shown]), np.append(rewards, brought)
    inverse = np.linalg.inv(np.eye(4) + seen.T @ seen)
    belief = inverse @ (np.eye(4)[0] + seen.T @ rewards)
    contexts = rng.normal(size=(6, 4))
    expected = [x @ belief + explore * np.sqrt(x @ inverse @ x) for x in contexts]
    np.testing.assert_allclose(bandit.values(contexts, explore), expected, rtol=1e-6, atol=1e-8)


def test_before_any_click_and_without_exploring_it_is_the_shared_ranking() -> None:
    rng = np.random.default_rng(0)
    vectors, scores = rng.normal(size=(40, 5)), rng.normal(size=40).astype(np.float32)
    candidates = top_k(scores[None], 40)[0]
    assert np.array_equal(explored(Bandit.fresh(6), vectors, scores, candidates, 0.0), candidates)


def test_relevance_is_zero_to_one_over_the_best() -> None:
    scores = np.append(np.arange(100, dtype=np.float32), -np.inf)
    places = np.array([99, 100 - CANDIDATES, 3])
    found = contexts_of(np.zeros((101, 2)), scores, places)
    assert found.shape == (3, 3)
    assert found[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert not contexts_of(np.zeros((3, 0)), np.ones(3, np.float32), np.arange(3)).any()


def simulated(seed: int, explore: float | None, rounds: int = 60, *, shared: float = 0.0) -> float:
    """Clicks of one user over lists of ten: with a taste in a third of the space, or that of the shared ranking."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(ITEMS, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    taste = rng.normal(size=WIDTH)
    likes = vectors @ (taste / np.linalg.norm(taste))
    scores = (shared * likes + (1 - shared) * rng.normal(size=ITEMS) / np.sqrt(WIDTH)).astype(np.float32)
    chance = np.where(likes > np.quantile(likes, 0.8), 0.6, 0.05)
    candidates = top_k(scores[None], CANDIDATES)[0]
    bandit, total = Bandit.fresh(1 + WIDTH), 0.0
    for _ in range(rounds):
        shown = candidates[:LIST]
        if explore is not None:
            shown = explored(bandit, vectors, scores, candidates, explore)[:LIST]
        clicks = (rng.random(LIST) < chance[shown]).astype(float)
        bandit = bandit.heard(contexts_of(vectors, scores, shown), clicks)
        total += clicks.sum()
    return total


def test_for_users_with_a_taste_it_earns_more_clicks_than_the_shared_ranking() -> None:
    plain = np.array([simulated(seed, None) for seed in range(8)])
    learned = np.array([simulated(seed, 0.3) for seed in range(8)])
    assert learned.mean() > 1.5 * plain.mean()
    assert (learned > plain).mean() >= 7 / 8


def test_where_the_shared_ranking_is_right_it_costs_little() -> None:
    plain = np.mean([simulated(seed, None, shared=0.9) for seed in range(8)])
    learned = np.mean([simulated(seed, 0.3, shared=0.9) for seed in range(8)])
    assert learned > 0.9 * plain


def test_vectors_come_from_the_tower_or_else_from_behaviour() -> None:
    tower = item_vectors(cases.scorer())
    assert tower.shape == (cases.ITEMS, 8)
    collaborative = item_vectors(cases.scorer(tower=False, collaborative=cases.table()))
    assert collaborative.shape == (cases.ITEMS, 4)
    for found in (tower, collaborative):
        length = np.linalg.norm(found, axis=1)
        assert np.all((np.abs(length - 1) < 1e-5) | (length == 0))
    assert item_vectors(cases.scorer(tower=False)).shape == (cases.ITEMS, 0)


def test_what_does_not_fit_is_refused() -> None:
    bandit = Bandit.fresh(3)
    for contexts, rewards in ((np.zeros((2, 4)), np.zeros(2)), (np.zeros((2, 3)), np.zeros(3))):
        with pytest.raises(ModelError):
            bandit.heard(contexts, rewards)
    with pytest.raises(ModelError):
        bandit.heard(np.zeros((1, 3)), np.array([2.0]))
    with pytest.raises(ModelError):
        bandit.heard(np.full((1, 3), np.nan), np.array([1.0]))
    with pytest.raises(ModelError):
        bandit.values(np.zeros((1, 3)), -1.0)
    with pytest.raises(ModelError):
        Bandit.fresh(0)
