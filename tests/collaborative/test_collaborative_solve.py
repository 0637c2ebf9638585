"""From sums to the collaborative factors: the two towers are EASE, noise is told from signal, content fills in."""

from __future__ import annotations

import numpy as np
import pytest
import query_cases

from fedrec.collaborative.content_kernel import content_factors, content_kernel
from fedrec.collaborative.solve import solve
from fedrec.config import CollaborativeSettings, PriorSettings, SolverSettings, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError
from fedrec.queries import cooccurrence

RNG = np.random.default_rng(5)
USERS, ITEMS = 60, 14
X = (RNG.random((USERS, ITEMS)) < 0.3).astype(float)


def features() -> Features:
    ids = tuple(str(i) for i in range(ITEMS))
    values = {"text": RNG.normal(size=(ITEMS, 4)).astype(np.float32)}
    return Features(ids, ids, values, {"text": np.arange(ITEMS) != 3}, ())


def ease_scores(gram: np.ndarray, ridge: float) -> np.ndarray:
    """EASE as Steck writes it: dense inverse, zero diagonal."""
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(X @ weights)


def test_two_towers_rank_unseen_items_exactly_as_ease() -> None:
    gram = X.T @ X
    table = solve(
        X.sum(0),
        gram,
        np.arange(ITEMS),
        CollaborativeSettings(solver=SolverSettings(ridge=3.0)),
        features=features(),
        noisy=False,
    )
    scores = (X @ table.history) @ table.candidate.T
    unseen = X == 0
    np.testing.assert_allclose(scores[unseen], ease_scores(gram, 3.0)[unseen], rtol=2e-4, atol=2e-5)


def test_cosine_ranks_unseen_items_by_the_summed_cosines_of_those_seen() -> None:
    gram = X.T @ X
    settings = CollaborativeSettings(solver=SolverSettings(method="cosine", ridge=2.0))
    table = solve(X.sum(0), gram, np.arange(ITEMS), settings, features=features(), noisy=False)
    size = np.sqrt(np.diag(gram) + 2.0)
    cosines = gram / size[:, None] / size[None, :]
    scores = (X @ table.history) @ table.candidate.T
    np.testing.assert_allclose(scores[X == 0], (X @ cosines)[X == 0], rtol=1e-4, atol=1e-5)
    few = settings.model_copy(update={"solver": settings.solver.model_copy(update={"rank": 3})})
    assert solve(X.sum(0), gram, np.arange(ITEMS), few, features=features(), noisy=True).rank == 3


def test_rank_limits_the_table_and_keeps_the_leading_part() -> None:
    gram = X.T @ X
    table = solve(
        X.sum(0),
        gram,
        np.arange(ITEMS),
        CollaborativeSettings(solver=SolverSettings(rank=4)),
        features=features(),
        noisy=False,
    )
    assert table.history.shape == (ITEMS, 4)


def test_items_that_took_no_part_are_reached_by_the_content_prior_only() -> None:
    part = np.arange(6)
    gram = (X.T @ X)[:6, :6]
    plain = solve(
        X.sum(0), gram, part, CollaborativeSettings(solver=SolverSettings(ridge=3.0)), features=features(), noisy=False
    )
    assert not np.asarray(plain.history @ plain.candidate.T)[:6, 6:].any()
    settings = CollaborativeSettings(
        prior=PriorSettings(weight=0.5, modalities={"text": 1.0}), solver=SolverSettings(ridge=3.0)
    )
    prior = solve(X.sum(0), gram, part, settings, features=features(), noisy=False)
    assert np.abs(np.asarray(prior.history @ prior.candidate.T)[:6, 6:]).max() > 1e-3


def test_a_missing_modality_counts_nothing_in_the_kernel() -> None:
    kernel = content_kernel(features(), PriorSettings(modalities={"text": 2.0}))
    assert not kernel[3].any()
    np.testing.assert_allclose(np.delete(np.diag(kernel), 3), 2.0, rtol=1e-6)


@pytest.mark.parametrize("sharpness", [0.0, 2.0])
def test_content_factors_multiply_to_the_kernel(sharpness: float) -> None:
    settings = PriorSettings(modalities={"text": 2.0}, sharpness=sharpness)
    content = features()
    factors, kernel = content_factors(content, settings), content_kernel(content, settings)
    np.testing.assert_allclose(factors @ factors.T, kernel, atol=1e-9)
    few = content_factors(features(), settings.model_copy(update={"rank": 2, "sharpness": 2.0}))
    assert few.shape == (ITEMS, 2)


def test_a_sharpened_kernel_is_the_gaussian_one_and_leaves_out_what_has_no_content() -> None:
    settings = PriorSettings(modalities={"text": 1.0}, sharpness=3.0)
    content = features()
    kernel, values = content_kernel(content, settings), content.values["text"].astype(float)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    apart = np.square(unit[1] - unit[5]).sum()
    assert kernel[1, 5] == pytest.approx(np.exp(-3.0 * apart / 2), rel=1e-6)
    assert not kernel[3].any() and not kernel[:, 3].any()
    assert np.linalg.eigvalsh(kernel).min() > -1e-9


@pytest.mark.parametrize("weights", [{}, {"smell": 1.0}])
def test_a_prior_over_content_that_is_not_there_is_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"prior\.modalities"):
        content_kernel(features(), PriorSettings(modalities=weights))


def symmetric_noise(size: int, sigma: float, seed: int) -> np.ndarray:
    noise = np.triu(np.random.default_rng(seed).normal(size=(size, size)) * sigma)
    return np.asarray(noise + np.triu(noise, 1).T)


def test_denoise_finds_a_planted_signal_and_its_strength() -> None:
    size, sigma = 300, 0.5
    direction = np.linalg.qr(np.random.default_rng(1).normal(size=(size, 2)))[0]
    strengths = np.array([40.0, 60.0])
    signal = (direction * strengths) @ direction.T
    found = cooccurrence.denoise(signal + symmetric_noise(size, sigma, 2), sigma)
    values = np.linalg.eigvalsh(found)
    np.testing.assert_allclose(values[-2:], strengths, rtol=0.08)
    assert np.abs(values[:-2]).max() < 1e-6 * strengths.max()
    assert np.linalg.norm(found - signal) < 0.5 * np.linalg.norm(symmetric_noise(size, sigma, 2))


@pytest.mark.parametrize("seed", range(5))
def test_denoise_keeps_next_to_nothing_of_pure_noise_but_much_of_noise_larger_than_told(seed: int) -> None:
    noise = symmetric_noise(200, 1.0, seed)
    kept = np.linalg.matrix_rank(cooccurrence.denoise(noise, 1.0))
    assert kept <= 2
    assert np.linalg.matrix_rank(cooccurrence.denoise(noise * 1.5, 1.0)) > 10


def test_without_noise_nothing_is_taken_away() -> None:
    gram = X.T @ X
    assert cooccurrence.denoise(gram, 0.0) is gram


def test_a_private_sum_without_a_small_bound_is_refused() -> None:
    config = from_tree({"collaborative": {"cooccurrence": {"normalise": 0.5}}})
    query_cases.cooccurrence(config, np.arange(5), 5, 10)
    private = config.model_copy(update={"privacy": config.privacy.model_copy(update={"epsilon": 8.0})})
    with pytest.raises(ConfigError, match="normalise"):
        query_cases.cooccurrence(private, np.arange(5), 5, 10)


def test_the_most_popular_take_part_and_ties_go_to_the_earlier() -> None:
    assert cooccurrence.taking_part(np.array([1.0, 5.0, 5.0, 0.0]), 2).tolist() == [1, 2]
    assert cooccurrence.taking_part(np.array([1.0, 1.0, 1.0]), 2).tolist() == [0, 1]
    assert cooccurrence.taking_part(np.array([1.0, 5.0]), 0).tolist() == [0, 1]
