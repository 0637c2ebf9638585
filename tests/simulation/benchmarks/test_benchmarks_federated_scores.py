"""Federated training with personal score functions: what leaves a device is bounded, the noise what is claimed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import chi2

from fedrec.privacy.accountant import gaussian_noise
from fedrec.users import Histories
from simulations.benchmarks import federated_scores
from simulations.benchmarks.federated_scores import ScoresSettings
from simulations.benchmarks.private_als import released

ITEMS, USERS = 30, 40
SMALL = ScoresSettings(dimension=4, rounds=3, negatives=2, user_steps=2, item_rate=100.0, final_steps=3)


def people() -> Histories:
    """Two tastes, one for each half of the items."""
    generator = np.random.default_rng(0)
    return Histories.of([generator.permutation(15)[: 3 + u % 7] + 15 * (u >= USERS // 2) for u in range(USERS)])


@given(st.integers(0, 10_000), st.floats(1e-3, 1e3))
def test_a_devices_change_has_a_length_of_at_most_1(seed: int, size: float) -> None:
    generator = np.random.default_rng(seed)
    samples = int(generator.integers(1, 60))
    items = generator.integers(ITEMS, size=samples)
    wrong = generator.uniform(-1, 1, samples).astype(np.float32)
    scores = (size * generator.normal(size=(1, 4))).astype(np.float32)
    found = federated_scores.bounded(wrong, np.zeros(samples, np.int64), items, scores, ITEMS)
    exact = np.zeros((ITEMS, 4))
    np.add.at(exact, items, -wrong[:, None] * scores)
    exact /= max(1.0, float(np.linalg.norm(exact)))
    assert np.linalg.norm(found) <= 1 + 1e-5
    assert np.allclose(found, exact, atol=1e-5)


def test_the_last_user_moves_no_sum_by_more_than_1(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record every sum, replay what was released of it on data without a user (whose draws are the last of all)."""
    sums: list[NDArray[np.float64]] = []
    answers: list[NDArray[np.float64]] = []

    def recorded(total: NDArray[np.float64], noise_multiplier: float, secret: bytes) -> NDArray[np.float64]:
        sums.append(total)
        if len(answers) < len(sums):
            answers.append(released(total, noise_multiplier, secret))
        return answers[len(sums) - 1]

    monkeypatch.setattr(federated_scores, "released", recorded)
    histories = people()
    federated_scores.train(histories, ITEMS, SMALL, epsilon=4.0, delta=1e-3, seed=0)
    whole = list(sums)
    sums.clear()
    fewer = histories.where(histories.owners != USERS - 1)
    federated_scores.train(fewer, ITEMS, SMALL, epsilon=4.0, delta=1e-3, seed=0)
    moved = [float(np.linalg.norm(a - b)) for a, b in zip(whole, sums, strict=True)]
    assert len(moved) == SMALL.rounds
    assert max(moved) <= 1 + 1e-5
    assert min(moved) > 0


@pytest.mark.parametrize(("factor", "right"), [(1.0, True), (2 / 3, False), (3 / 2, False)])
def test_noise_of_another_size_is_told_apart(monkeypatch: pytest.MonkeyPatch, factor: float, right: bool) -> None:
    """Rounds compose to the stated epsilon, and the noise that is added has that variance."""
    asked: list[NDArray[np.float64]] = []

    def watched(total: NDArray[np.float64], noise_multiplier: float, secret: bytes) -> NDArray[np.float64]:
        found = released(total, noise_multiplier * factor, secret)
        asked.append(found - total)
        return found

    monkeypatch.setattr(federated_scores, "released", watched)
    federated_scores.train(people(), ITEMS, SMALL, epsilon=2.0, delta=1e-3, seed=3)
    accounted = gaussian_noise(2.0, 1e-3) * math.sqrt(SMALL.rounds)
    noise = np.concatenate([one.ravel() for one in asked]) / accounted
    assert len(asked) == SMALL.rounds
    assert (1e-4 < chi2.cdf(float((noise**2).sum()), len(noise)) < 1 - 1e-4) == right


def test_negatives_are_items_that_the_user_lacks_and_each_user_has_its_positives() -> None:
    histories = people()
    devices = federated_scores.Devices(histories, ITEMS, SMALL, seed=0)
    [(users, owners, items, labels)] = list(devices.samples())
    assert (users, np.all(np.diff(owners) >= 0)) == (slice(0, USERS), True)
    for user in range(USERS):
        mine = set(histories[user].tolist())
        assert set(items[(owners == user) & (labels == 1)].tolist()) == mine
        assert not set(items[(owners == user) & (labels == 0)].tolist()) & mine


def test_it_learns_two_tastes_and_a_new_event_counts_when_ranking() -> None:
    settings = ScoresSettings(dimension=4, rounds=30, user_rate=5.0, item_rate=300.0)
    histories = people()
    vectors, devices = federated_scores.train(histories, ITEMS, settings, epsilon=None, delta=1e-3, seed=0)
    moved = Histories.of([np.arange(15, 25), *[histories[user] for user in range(1, USERS)]])
    before = devices.scores.copy()
    scores = federated_scores.ready(vectors, devices, moved).scores @ vectors.T
    own = np.repeat([[True] * 15 + [False] * 15, [False] * 15 + [True] * 15], USERS // 2, axis=0)
    assert scores[own].mean() > scores[~own].mean() + 0.2
    gap = lambda row: row[15:].mean() - row[:15].mean()  # noqa: E731
    assert gap(scores[0]) > gap(before[0] @ vectors.T)
