"""Ways of choosing in one budget: each spends what it may, and the page has a row for each data set and epsilon."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedrec.privacy.accountant import gaussian_noise
from simulations.benchmarks import selection, selection_rivals
from simulations.benchmarks.selection_rivals import WAYS, Stake

EPSILON, USERS = 3.0, 400


@pytest.fixture(scope="module")
def stake() -> Stake:
    """Three candidates, of which the last is better than the default, the first, by far."""
    rng = np.random.default_rng(0)
    gains = np.clip(
        rng.uniform(0, 0.5, (USERS, 1)) + np.array([0.0, 0.01, 0.2]) + rng.normal(0, 0.02, (USERS, 3)), 0, 1
    )
    delta = USERS**-1.1
    trees = {name: {"solver": {"ridge": name}} for name in "abc"}
    return Stake(gains, trees, 0, gaussian_noise(EPSILON, delta), EPSILON, delta, 0.05)


@pytest.mark.parametrize("way", list(WAYS))
def test_what_is_far_better_is_taken(way: str, stake: Stake) -> None:
    assert (WAYS[way](stake, 300) == 2).mean() > (0.3 if way == "random repeats" else 0.95)


def test_random_repeats_stay_within_the_budget_and_use_it_up(stake: Stake) -> None:
    orders, found = selection_rivals._ORDERS, list(selection_rivals.repeats(stake))
    assert found
    whole = selection_rivals._epsilon(orders * 0.5 / stake.z**2, stake.delta)
    for eta, gamma, rho in found:
        curve = orders * 0.95 * 0.5 / stake.z**2 + selection_rivals._tuned(rho, eta, gamma)
        assert whole * 0.999 <= selection_rivals._epsilon(curve, stake.delta) <= whole * (1 + 1e-9)
        assert rho < 0.05 * 0.5 / stake.z**2, "one measurement costs less than all that choosing may cost"


@pytest.mark.parametrize(("eta", "gamma"), [(0.0, 0.1), (1.0, 0.5)])
def test_the_mean_number_of_repeats(eta: float, gamma: float) -> None:
    drawn = selection_rivals._counts(eta, gamma, 100_000, np.random.default_rng(1))
    assert drawn.min() == 1
    assert drawn.mean() == pytest.approx(selection_rivals.mean_repeats(eta, gamma), rel=0.03)


def test_a_user_moves_the_odds_of_the_exponential_mechanism_by_its_bounded_range() -> None:
    rng, width, epsilon = np.random.default_rng(2), 0.3, 0.7
    sums, moved = rng.normal(0, 1, 5), rng.uniform(-width / 2, width / 2, 5)

    def odds(scores: np.ndarray) -> np.ndarray:
        weights = np.exp(epsilon * scores / width)
        return weights / weights.sum()

    apart = np.log(odds(sums + moved) / odds(sums))
    assert apart.max() - apart.min() <= epsilon * (1 + 1e-12)
    assert math.isclose(apart.max() - apart.min(), epsilon * (moved.max() - moved.min()) / width)


def test_the_page_has_what_was_measured(stake: Stake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "DRAWS", 8)
    monkeypatch.setattr(selection, "REPEATS", 2)
    rng, names = np.random.default_rng(3), selection.candidates()
    gains = rng.uniform(0, 1, (USERS, len(names)))
    facts = np.array([stake.z, EPSILON, stake.delta, 2e6])
    measured = selection.Measured(gains, rng.uniform(0, 1, len(names)), rng.uniform(0, 1, len(names)), facts)
    page = selection.markdown({"some-data": {EPSILON: [measured, measured]}}, "a command", 2)
    assert page.count("| some-data |") == 1 + len(selection.FEW) + 1
    assert "2.00 MB (some-data)" in page
    assert selection.DEFAULT in names and len(names) == 16
