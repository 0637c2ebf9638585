"""Private alternating least squares: no user moves a sum by more than is accounted, the noise is what is claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from fedrec.errors import ConfigError
from fedrec.privacy.accountant import gaussian_epsilon
from fedrec.randomness import key
from fedrec.users import Histories
from simulations.benchmarks import private_als
from simulations.benchmarks.private_als import AlsSettings, Layout, noise_multipliers, released

ITEMS = 30
SMALL = AlsSettings(rank=4, sweeps=2, head=20, gram_share=0.3, whole_share=0.1, clip=1.0)


def people(count: int = 40, seed: int = 0) -> Histories:
    """Two tastes: the first users like the first half of the items, the others the second."""
    generator = np.random.default_rng(seed)
    half = ITEMS // 2
    return Histories.of(
        [generator.permutation(half)[: 3 + user % 7] + half * (user >= count // 2) for user in range(count)]
    )


def without(histories: Histories, user: int) -> Histories:
    """The same users, one of them with nothing."""
    return histories.where(histories.owners != user)


@pytest.mark.parametrize("gram", [0.0, 0.3])
@pytest.mark.parametrize("clip", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("features", [0.0, 10.0])
def test_no_user_moves_any_released_sum_by_more_than_1(
    monkeypatch: pytest.MonkeyPatch, gram: float, clip: float, features: float
) -> None:
    """Record every sum, replay what was released of it on data without a user, and measure how far each moved."""
    settings = SMALL.model_copy(update={"gram_share": gram, "clip": clip, "features": features, "short_power": 0.3})
    histories = people()
    public = np.random.default_rng(1).normal(size=(ITEMS, 6))
    sums: list[NDArray[np.float64]] = []
    answers: list[NDArray[np.float64]] = []

    def recorded(total: NDArray[np.float64], noise_multiplier: float, secret: bytes) -> NDArray[np.float64]:
        sums.append(total)
        if len(answers) < len(sums):
            answers.append(released(total, noise_multiplier, secret))
        return answers[len(sums) - 1]

    def run(data: Histories) -> list[NDArray[np.float64]]:
        sums.clear()
        private_als.train(data, ITEMS, settings, epsilon=4.0, delta=1e-3, seed=0, features=public)
        return list(sums)

    monkeypatch.setattr(private_als, "released", recorded)
    whole = run(histories)
    assert len(whole) == 1 + settings.sweeps
    moved = [
        [np.linalg.norm(a - b) for a, b in zip(whole, run(without(histories, u)), strict=True)] for u in (0, 6, 39)
    ]
    assert np.max(moved) <= 1 + 1e-9
    assert np.min(moved) > 0


@given(st.integers(0, 10_000), st.floats(0, 0.6), st.floats(0.01, 0.3), st.floats(0, 1), st.floats(0, 1))
def test_a_contribution_is_at_most_1_and_can_be_1(
    seed: int, gram: float, whole: float, power: float, short: float
) -> None:
    settings = SMALL.model_copy(
        update={"gram_share": gram, "whole_share": whole, "item_power": power, "short_power": short, "short": 9}
    )
    generator = np.random.default_rng(seed)
    history = Histories.of([generator.permutation(ITEMS)[: generator.integers(0, ITEMS + 1)]])
    counts = generator.exponential(size=ITEMS) + 0.05
    weights = private_als.weights_of(history, counts, np.arange(20), settings)
    assert weights.multiply(weights).sum() <= 1 + 1e-12
    user = generator.normal(size=(1, 4))
    user /= np.linalg.norm(user)
    layout = Layout(settings, 20)
    assert np.linalg.norm(layout.total(user, weights)) <= 1 + 1e-12
    full = private_als.weights_of(Histories.of([[1, 2, 3]]), counts, np.arange(20), SMALL)
    layout = Layout(SMALL, 20)
    reached = np.linalg.norm(layout.total(user, full))
    assert reached == pytest.approx(1.0)


def test_a_sum_is_read_back_as_it_was_written() -> None:
    generator = np.random.default_rng(2)
    users = generator.normal(size=(40, 4))
    weights = private_als.weights_of(people(), np.ones(ITEMS), np.arange(ITEMS), SMALL)
    layout = Layout(SMALL, ITEMS)
    grams, right, whole = layout.parts(layout.total(users, weights))
    dense = weights.toarray()
    assert grams is not None
    assert np.allclose(grams, np.einsum("uj,ua,ub->jab", dense, users, users))
    assert np.allclose(right, dense.T @ users)
    assert np.allclose(whole, users.T @ users)


@pytest.mark.parametrize("epsilon", [1.0, 8.0])
def test_the_noise_of_all_sums_costs_the_epsilon_that_is_stated(epsilon: float) -> None:
    first, each = noise_multipliers(SMALL, epsilon, 1e-4)
    together = 1 / math.sqrt(1 / first**2 + SMALL.sweeps / each**2)
    assert gaussian_epsilon(together, 1e-4) == pytest.approx(epsilon, rel=1e-4)
    assert noise_multipliers(SMALL, None, 1e-4) == (0.0, 0.0)


@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_noise_of_another_size_is_told_apart(monkeypatch: pytest.MonkeyPatch, factor: float, right: bool) -> None:
    """What ``train`` adds to its sums has the accounted variance; two thirds and three halves of it are rejected."""
    asked: list[tuple[NDArray[np.float64], float]] = []

    def watched(total: NDArray[np.float64], noise_multiplier: float, secret: bytes) -> NDArray[np.float64]:
        found = released(total, noise_multiplier * factor, secret)
        asked.append((found - total, noise_multiplier))
        return found

    monkeypatch.setattr(private_als, "released", watched)
    private_als.train(people(), ITEMS, SMALL, epsilon=2.0, delta=1e-3, seed=3)
    accounted = dict(zip(("counts", "sweep"), noise_multipliers(SMALL, 2.0, 1e-3), strict=True))
    assert [multiplier for _, multiplier in asked] == [accounted["counts"], accounted["sweep"], accounted["sweep"]]
    ratios = np.concatenate([noise.ravel() / multiplier for noise, multiplier in asked])
    chance = chi2.cdf(float((ratios**2).sum()), len(ratios))
    assert (1e-4 < chance < 1 - 1e-4) == right


def test_noise_is_drawn_anew_for_every_sum() -> None:
    one, two = (released(np.zeros(50), 1.0, key(0, "als", "sweep", sweep)) for sweep in (0, 1))
    assert abs(float(np.corrcoef(one, two)[0, 1])) < 0.6
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("epsilon", [None, 1000.0])
@pytest.mark.parametrize("gram", [0.0, 0.3])
def test_it_learns_two_tastes(epsilon: float | None, gram: float) -> None:
    settings = SMALL.model_copy(update={"gram_share": gram, "item_ridge": 0.1, "popularity_weight": 0.0, "head": ITEMS})
    histories = people()
    found = private_als.train(histories, ITEMS, settings, epsilon=epsilon, delta=1e-3, seed=0)
    scores = private_als.scores_of(found, histories, settings, np.arange(40))
    own = np.repeat([[True] * 15 + [False] * 15, [False] * 15 + [True] * 15], 20, axis=0)
    assert scores[own].mean() > scores[~own].mean() + 0.2


def test_an_item_that_nobody_has_is_placed_by_its_features() -> None:
    histories = people()
    histories = histories.where(histories.items != 0)
    public = np.repeat([[1.0, 0.0], [0.0, 1.0]], ITEMS // 2, axis=0)
    settings = SMALL.model_copy(update={"features": 50.0, "head": 20, "rank": 2, "popularity_weight": 0.0})
    found = private_als.train(histories, ITEMS, settings, epsilon=None, delta=1e-3, seed=0, features=public)
    scores = private_als.scores_of(found, histories, settings, np.arange(40))
    assert scores[:20, 0].mean() > scores[20:, 0].mean() + 0.1
    plain = SMALL.model_copy(update={"head": 20})
    assert not private_als.train(histories, ITEMS, plain, epsilon=None, delta=1e-3, seed=0).vectors[0].any()


def test_later_events_may_weigh_more() -> None:
    vectors = private_als.ItemVectors(np.eye(3), np.ones(3), np.arange(3))
    settings = AlsSettings(rank=3, user_unobserved=0.0, popularity_weight=0.0, recency=1.0)
    scores = private_als.scores_of(vectors, Histories.of([[0, 1, 2]]), settings, np.array([0]))[0]
    assert scores[0] < scores[1] < scores[2]


def test_shares_that_leave_nothing_and_missing_features_are_refused() -> None:
    with pytest.raises(ConfigError, match="leave nothing"):
        Layout(SMALL.model_copy(update={"gram_share": 0.6, "whole_share": 0.4}), 5)
    with pytest.raises(ConfigError, match="not given"):
        private_als.train(people(), ITEMS, SMALL.model_copy(update={"features": 1.0}), epsilon=None, delta=1e-3, seed=0)
