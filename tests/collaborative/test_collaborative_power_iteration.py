"""Private power iteration: what a device adds, what the server finds, and EASE without a matrix of items by items."""

from __future__ import annotations

import numpy as np
import pytest
import query_cases
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.collaborative import low_rank, power_iteration
from fedrec.config import Config, from_tree
from fedrec.errors import ConfigError
from fedrec.queries.device.power_iteration import projected
from fedrec.queries.power_iteration import BOUND
from fedrec.queries.request import Request
from fedrec.users import Histories, UserBatch, keys_of

ITEMS, RANK = 14, 5
CONFIG = from_tree(
    {
        "collaborative": {
            "cooccurrence": {"enabled": False},
            "power_iteration": {"enabled": True, "steps": 1, "rank": RANK},
            "prior": {"weight": 0.5, "modalities": {"text": 1.0}},
        }
    }
)
baskets = st.lists(st.lists(st.integers(0, ITEMS - 1), unique=True, max_size=ITEMS), min_size=1, max_size=4)


def population_of(lists: list[list[int]]) -> UserBatch:
    return UserBatch(Histories.of(lists), keys=keys_of([str(u) for u in range(len(lists))]))


def directions(seed: int = 0, rank: int = RANK, weighted: bool = False) -> power_iteration.ProjectionDirections:
    drawn = np.random.default_rng(seed)
    centre = power_iteration.centre_of(drawn.uniform(0.1, 1, ITEMS))
    vectors = np.linalg.qr(drawn.normal(size=(ITEMS, rank)))[0]
    return power_iteration.ProjectionDirections(centre, vectors, drawn.uniform(0.2, 3, ITEMS) if weighted else None)


def part_of(basket: list[int], asked: power_iteration.ProjectionDirections) -> np.ndarray:
    """The definition, word by word."""
    if not basket:
        return np.zeros((ITEMS, asked.vectors.shape[1]))
    x = np.isin(np.arange(ITEMS), basket) / np.sqrt(len(basket))
    x = x - asked.centre * (asked.centre @ x)
    y = asked.vectors.T @ x
    x = x if asked.weights is None else x * asked.weights
    if np.linalg.norm(x) < 1e-6:
        return np.zeros((ITEMS, asked.vectors.shape[1]))
    x = x / np.linalg.norm(x)
    return np.outer(x, y / np.linalg.norm(y)) if np.linalg.norm(y) > 1e-9 else np.zeros((ITEMS, len(y)))


@settings(max_examples=80, deadline=None)
@given(baskets, st.booleans())
def test_devices_add_what_the_definition_says_and_each_user_at_most_its_bound(
    lists: list[list[int]], weighted: bool
) -> None:
    asked = directions(weighted=weighted)
    got = projected(population_of(lists), asked.centre, asked.vectors, BOUND, asked.weights)
    np.testing.assert_allclose(got, sum(part_of(basket, asked) for basket in lists).reshape(-1), atol=1e-9)
    for basket in lists:
        alone = projected(population_of([basket]), asked.centre, asked.vectors, BOUND, asked.weights)
        assert np.linalg.norm(alone) <= BOUND + 1e-9


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 50), st.floats(0, 50), st.floats(0.01, 30))
def test_nothing_of_a_servers_choice_breaks_the_bound(length: float, scale: float, weight: float) -> None:
    asked = directions(3, weighted=True)
    centre, vectors, weights = asked.centre * length, asked.vectors * scale, asked.weights * weight
    got = projected(population_of([[1, 4, 9]]), centre, vectors, BOUND, weights)
    assert np.linalg.norm(got) <= BOUND * (1 + 1e-9) + 1e-9


def test_levelled_items_weigh_less_the_more_popular_they_are_and_the_server_takes_it_out_again() -> None:
    mass = np.r_[np.full(4, 8.0), np.full(ITEMS - 4, 0.5)]
    drawn = np.random.default_rng(4)
    expected = power_iteration.Expected.of(mass, mass, drawn.normal(size=(ITEMS, RANK)))
    plain, level = (power_iteration.first(expected, RANK, 0.2, weighting) for weighting in (0.0, 0.5))
    assert plain.weights is None and level.weights is not None
    np.testing.assert_allclose(level.weights, (mass / mass.mean()) ** -0.5)
    np.testing.assert_array_equal(plain.vectors, level.vectors)
    assert (
        power_iteration.following(level, power_iteration.PowerIterationResult(level.vectors), RANK, 0.2).weights
        is level.weights
    )
    truth = drawn.normal(size=level.vectors.shape)
    opened = truth * level.weights[:, None]
    np.testing.assert_allclose(power_iteration.without_noise(opened, level, expected, 0.0), truth, atol=1e-9)


def test_an_item_that_was_hardly_weighed_is_known_by_what_was_expected_alone() -> None:
    weights = np.r_[1e-4, np.ones(ITEMS - 1)]
    asked = power_iteration.ProjectionDirections(np.zeros(ITEMS), directions().vectors, weights)
    truth = np.random.default_rng(6).normal(size=(ITEMS, RANK))
    kept = power_iteration.without_noise(truth * weights[:, None], asked, nothing_expected(), 0.05)
    assert np.linalg.norm(kept[0]) < 1e-2 * np.linalg.norm(truth[0])
    assert np.linalg.norm(kept[1:] - truth[1:]) < 0.05 * np.linalg.norm(truth[1:])


def test_without_noise_a_gram_matrix_within_the_rank_is_found_whole() -> None:
    lists, asked = [[0, 1, 2], [2, 5, 6, 9], [7, 11], [1, 12, 13]], directions(1)
    opened = sum(part_of(basket, asked) for basket in lists)
    found = power_iteration.completed(opened.reshape(-1), asked, nothing_expected(), 0.0).factors
    gram = np.zeros((ITEMS, ITEMS))
    for basket in lists:
        x = np.isin(np.arange(ITEMS), basket) / np.sqrt(len(basket))
        x = x - asked.centre * (asked.centre @ x)
        x /= np.linalg.norm(x)
        gram += np.outer(x, x) / np.linalg.norm(asked.vectors.T @ x)
    np.testing.assert_allclose(found @ found.T, gram, atol=1e-8)


def test_noise_alone_is_shrunk_and_a_signal_is_kept() -> None:
    drawn, asked = np.random.default_rng(5), directions(2)
    noise = drawn.normal(size=ITEMS * RANK)
    signal = 40 * asked.vectors @ np.diag([5.0, 4, 3, 2, 1])
    quiet = power_iteration.completed(noise, asked, nothing_expected(), 1.0).factors
    loud = power_iteration.completed(noise + signal.reshape(-1), asked, nothing_expected(), 1.0).factors
    assert np.linalg.norm(quiet @ quiet.T) < 0.05 * np.linalg.norm(loud @ loud.T)
    exact = asked.vectors @ np.diag([200.0, 160, 120, 80, 40]) @ asked.vectors.T
    assert np.linalg.norm(loud @ loud.T - exact) < 0.1 * np.linalg.norm(exact)


def test_rare_items_keep_what_content_says_and_common_ones_what_was_heard() -> None:
    drawn, items, sigma = np.random.default_rng(3), 300, 1.0
    vectors = np.linalg.qr(drawn.normal(size=(items, RANK)))[0]
    asked = power_iteration.ProjectionDirections(np.zeros(items), vectors)
    rare = np.arange(items) < items // 2
    mass = np.where(rare, 1e-3, 2.0)
    expected = power_iteration.Expected(mass, np.zeros(items), drawn.normal(size=(items, 3)))
    guess = expected.factors @ (expected.factors.T @ vectors)
    truth = guess + np.where(rare[:, None], 0.0, 3 * drawn.normal(size=guess.shape))
    noisy = truth + sigma * drawn.normal(size=truth.shape)
    better = power_iteration.without_noise(noisy, asked, expected, sigma)
    off = [np.linalg.norm((estimate - truth)[rows]) for rows in (rare, ~rare) for estimate in (better, noisy)]
    assert off[0] < 0.3 * off[1] and off[2] < off[3]
    np.testing.assert_allclose(power_iteration.without_noise(truth, asked, expected, 0.0), truth, atol=1e-9)


def nothing_expected() -> power_iteration.Expected:
    return power_iteration.Expected(np.ones(ITEMS), np.zeros(ITEMS), np.zeros((ITEMS, 1)))


def test_the_next_directions_span_what_was_found_strongest_first() -> None:
    drawn = np.random.default_rng(7)
    basis = np.linalg.qr(drawn.normal(size=(ITEMS, 3)))[0]
    found = power_iteration.PowerIterationResult(basis * [3.0, 2.0, 1.0])
    asked = power_iteration.following(power_iteration.ProjectionDirections(np.zeros(ITEMS), basis), found, 2, 0.0)
    assert asked.vectors.shape == (ITEMS, 2)
    np.testing.assert_allclose(np.abs(np.diag(asked.vectors.T @ basis[:, :2])), 1.0, atol=1e-9)
    stressed = power_iteration.following(power_iteration.ProjectionDirections(np.zeros(ITEMS), basis), found, 2, 0.5)
    assert np.linalg.norm(stressed.vectors, axis=0) == pytest.approx([1.0, 1.5])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 50))
def test_low_rank_ease_is_ease(seed: int, ridge: float) -> None:
    drawn = np.random.default_rng(seed)
    found, mass = drawn.normal(size=(ITEMS, 4)), drawn.uniform(1, 20, ITEMS)
    gram = found @ found.T
    np.fill_diagonal(gram, np.maximum(mass, gram.diagonal()))
    inverse = np.linalg.inv(gram + ridge * np.eye(ITEMS))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    table = low_rank.solve_low_rank(np.ones(ITEMS), found, mass, ridge)
    got = table.history.astype(float) @ table.candidate.T.astype(float)
    np.fill_diagonal(got, 0.0)
    np.testing.assert_allclose(got, weights, atol=1e-4 * max(1.0, np.abs(weights).max()))


def test_a_rank_that_is_cut_keeps_the_best_part() -> None:
    drawn = np.random.default_rng(1)
    found, mass = drawn.normal(size=(ITEMS, 6)), np.full(ITEMS, 8.0)
    whole = low_rank.solve_low_rank(np.ones(ITEMS), found, mass, 2.0)
    cut = low_rank.solve_low_rank(np.ones(ITEMS), found, mass, 2.0, rank=3)
    assert cut.rank == 3
    kept = np.linalg.svd(whole.history.astype(float), compute_uv=False)[:3]
    np.testing.assert_allclose(np.linalg.svd(cut.history.astype(float), compute_uv=False), kept, rtol=1e-5)


def test_mass_sums_to_the_users_and_leaves_no_item_without() -> None:
    mass = low_rank.mass_of(np.array([0.0, 4.0, 2.0, 2.0]), 100)
    assert mass.sum() == pytest.approx(100) and mass.min() > 0


@pytest.mark.parametrize("rotate", [True, False])
def test_a_question_survives_the_wire_and_says_its_bound(rotate: bool) -> None:
    config = from_tree({**_tree(CONFIG), "secure_aggregation": {"rotate": rotate}})
    request = query_cases.projected("directions", config, 1, directions(), 30)
    again = Request.from_parts(request.header(), request.arrays)
    assert again.sum == request.sum and again.sum.bound == BOUND and again.sum.length == ITEMS * RANK
    assert bool(again.sum.rotation) == rotate


@pytest.mark.parametrize(
    "changed",
    [
        {"cooccurrence": {"enabled": True}},
        {"popularity": False},
        {"prior": {"weight": 0.5, "modalities": {}}},
        {"power_iteration": {"enabled": False, "steps": 1}},
    ],
)
def test_settings_that_do_not_go_together_are_refused(changed: dict[str, object]) -> None:
    tree = _tree(CONFIG)
    with pytest.raises(ConfigError):
        from_tree({**tree, "collaborative": {**tree["collaborative"], **changed}})


def test_factors_claim_nothing_about_interactions() -> None:
    with pytest.raises(ConfigError, match="protects users"):
        from_tree({**_tree(CONFIG), "privacy": {"epsilon": 8.0, "unit": "example", "shares": {"popularity": 1.0}}})


def _tree(config: Config) -> dict[str, dict[str, object]]:
    return {"collaborative": config.collaborative.model_dump(exclude_unset=True)}
