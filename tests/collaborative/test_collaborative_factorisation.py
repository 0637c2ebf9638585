"""Matrix factorisation from the second moment, held to alternating least squares over the users themselves."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.low_rank import factorise
from fedrec.collaborative.solve import solve
from fedrec.config import CollaborativeSettings, SolverSettings, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError

USERS, ITEMS = 60, 14
RNG = np.random.default_rng(5)
HISTORIES = (RNG.random((USERS, ITEMS)) < 0.15 + 0.6 * (RNG.integers(0, 3, (USERS, 1)) == np.arange(ITEMS) % 3)).astype(
    float
)
HISTORIES[:, 0] = 1.0
SCALED = HISTORIES / np.sqrt(HISTORIES.sum(1, keepdims=True))
GRAM = SCALED.T @ SCALED
RIDGE = 0.9
FEATURES = Features(tuple(map(str, range(ITEMS))), ("",) * ITEMS, {}, {})


def alternating(rank: int, ridge: float, sweeps: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Hu et al. 2008, with all confidences 1: each side solved for while the other stands still."""
    items = RNG.normal(size=(ITEMS, rank))
    eye = ridge * np.eye(rank)
    for _ in range(sweeps):
        users = SCALED @ items @ np.linalg.inv(items.T @ items + eye)
        items = SCALED.T @ users @ np.linalg.inv(users.T @ users + eye)
    return users, items


def solved(rank: int = 0, ridge: float = RIDGE) -> CollaborativeFactors:
    settings = CollaborativeSettings(solver=SolverSettings(method="als", ridge=ridge, rank=rank))
    return solve(np.diag(GRAM), GRAM, np.arange(ITEMS), settings, features=FEATURES, noisy=False)


def test_the_table_scores_as_alternating_least_squares_does() -> None:
    users, items = alternating(6, RIDGE)
    table = solved(rank=6)
    np.testing.assert_allclose(SCALED @ table.history @ table.candidate.T, users @ items.T, atol=1e-5)


def test_a_user_who_was_not_there_is_folded_in_by_ridge_regression() -> None:
    _, items = alternating(6, RIDGE)
    table = solved(rank=6)
    assert 1 < table.rank <= 6
    for history in ([1, 4], [0, 2, 7, 9], [13]):
        own = np.zeros(ITEMS)
        own[history] = 1
        factor = np.linalg.solve(items.T @ items + RIDGE * np.eye(6), items.T @ own)
        np.testing.assert_allclose(table.history[history].sum(0) @ table.candidate.T, items @ factor, atol=1e-4)


def test_a_ridge_above_all_leaves_nothing_and_a_rank_the_strongest() -> None:
    assert solved(ridge=100.0).rank == 0
    one = solved(rank=1)
    leading = np.linalg.eigh(GRAM)[1][:, -1]
    cosine = abs(one.history[:, 0] @ leading) / np.linalg.norm(one.history)
    assert cosine == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rank", [0, 2])
def test_factors_of_the_moment_give_the_same_table(rank: int) -> None:
    values, vectors = np.linalg.eigh(GRAM)
    rotation = np.linalg.qr(RNG.normal(size=(ITEMS, ITEMS)))[0]
    given = factorise(np.diag(GRAM), vectors * np.sqrt(np.maximum(values, 0)) @ rotation, RIDGE, rank)
    expected = solved(rank=rank)
    assert given.rank == expected.rank
    np.testing.assert_allclose(given.history @ given.candidate.T, expected.history @ expected.candidate.T, atol=1e-5)


@pytest.mark.parametrize(
    "tree",
    [
        {"collaborative": {"prior": {"modalities": {"tower": 1.0}}}},
        {"collaborative": {"cooccurrence": {"enabled": False}, "prior": {"modalities": {"tower": 1.0}, "weight": 1.0}}},
        {"collaborative": {"prior": {"modalities": {"tower": 1.0}, "weight": 1.0}}, "model": {"tower": False}},
    ],
)
def test_a_prior_of_the_tower_needs_what_it_is_made_of(tree: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match="tower"):
        from_tree(tree)
