"""Devices dealt in secret: the account against integrals, other laws and sampled likelihood ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import (
    QueryCost,
    delta,
    epsilon,
    epsilon_without_amplification,
    equivalent_noise,
    gaussian_delta,
)
from fedrec.privacy.balls_in_bins import MOST_SHIFT, dominating_pair, shifts_of
from fedrec.privacy.lognormal_sums import add, constant, lognormal, sum_of

DELTA = 6040**-1.1
LEVELS = (0.0, 0.1, 0.7, 2.0, 4.0)


def run(noise: float, rounds: int, groups: int) -> QueryCost:
    return QueryCost("training", noise, rounds, "balls-in-bins", 1 / groups, groups, secret=True)


@pytest.mark.parametrize("noise", [0.5, 1.0, 3.0])
@pytest.mark.parametrize(("first", "second"), [(1, 1), (2, 1), (1, 0)])
def test_two_groups_are_what_the_integral_says(noise: float, first: int, second: int) -> None:
    """By integrating over the plane; with two epochs, an uneven last one, and a group that is never asked."""
    step = 0.02
    axis = np.arange(-9, 9 + math.sqrt(2) / noise, step)
    a, b = np.meshgrid(axis, axis)
    moved = [math.sqrt(turns) / noise for turns in (first, second)]
    q = np.exp(-(a**2 + b**2) / 2) / (2 * math.pi) * step**2
    ratio = sum(np.exp(m * g - m * m / 2) for m, g in zip(moved, (a, b), strict=True)) / 2
    pair = dominating_pair(shifts_of(2, ((noise, first + second),)), 1e-4)
    for level in LEVELS:
        alpha = math.exp(level)
        forth, back = (float((q * np.maximum(one, 0)).sum()) for one in (ratio - alpha, 1 - alpha * ratio))
        assert forth - 1e-5 <= pair.delta(level) <= forth + 3e-5
        assert back - 1e-5 <= pair.delta_reversed(level) <= back + 3e-5


@pytest.mark.slow
@pytest.mark.parametrize(("noise", "rounds", "groups"), [(0.8, 61, 61), (0.757, 200, 61), (1.5, 25, 7)])
def test_sampled_likelihood_ratios_agree(noise: float, rounds: int, groups: int) -> None:
    """From below: what a reader who knows everything but the group really learns, within six standard errors."""
    draws, rng = 200_000, np.random.default_rng(5)
    turns = np.array([len(range(group, rounds, groups)) for group in range(groups)])
    shift = np.sqrt(turns) / noise
    seen = rng.normal(size=(draws, groups))
    mine = rng.integers(groups, size=draws)
    seen_with = seen.copy()
    seen_with[np.arange(draws), mine] += shift[mine]
    pair = dominating_pair(shifts_of(groups, ((noise, rounds),)), 1e-4)
    ratios = [np.exp(one * shift - shift**2 / 2).mean(1) for one in (seen_with, seen)]
    for level in (0.0, 1.0, 3.0):
        gains = np.maximum(1 - math.exp(level) / ratios[0], 0), np.maximum(1 - math.exp(level) * ratios[1], 0)
        for gain, bound in zip(gains, (pair.delta(level), pair.delta_reversed(level)), strict=True):
            assert abs(float(gain.mean()) - bound) <= 6 * float(gain.std()) / math.sqrt(draws) + 1e-5


@pytest.mark.parametrize(("noise", "known"), [(1.6254, 1.0), (1.1532, 3.0), (0.7567, 8.0)])
def test_training_costs_what_is_known(noise: float, known: float) -> None:
    """200 rounds over 61 groups, which needed a noise of 6.55, 2.50 and 1.105 without the dealing."""
    assert epsilon([run(noise, 200, 61)], DELTA) == pytest.approx(known, rel=3e-3)


def test_one_group_is_full_participation() -> None:
    pair = dominating_pair(shifts_of(1, ((1.2, 5),)), 1e-4)
    for level in LEVELS:
        wanted = gaussian_delta(1.2 / math.sqrt(5), level)
        assert wanted - 1e-9 <= pair.delta(level) <= wanted * 1.001 + 1e-6
        assert wanted - 1e-9 <= pair.delta_reversed(level) <= wanted * 1.001 + 1e-6
    assert not run(1.2, 5, 1).amplified
    assert epsilon([run(1.2, 5, 1)], DELTA) == epsilon([QueryCost("training", 1.2, 5)], DELTA)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.floats(0.3, 20), st.integers(1, 150), st.integers(2, 40))
def test_it_lies_between_nothing_and_the_account_without_the_dealing(noise: float, rounds: int, groups: int) -> None:
    cost = run(noise, rounds, groups)
    found, without = epsilon([cost], 1e-5), epsilon_without_amplification([cost], 1e-5)
    known = QueryCost("training", noise, rounds, "cyclic", 1 / groups, groups)
    assert without == epsilon([known], 1e-5)
    assert 0 <= found <= without * (1 + 1e-3) + 1e-3
    assert equivalent_noise([cost]) == equivalent_noise([known])
    # A reader who guesses the group is right once in so many times.
    for level in (0.0, 1.0):
        least = gaussian_delta(noise / math.sqrt(cost.participations), level + math.log(groups)) / groups
        assert least <= delta([cost], level) + 1e-9


def test_more_noise_more_groups_and_fewer_rounds_cost_less() -> None:
    def cost(noise: float = 1.0, rounds: int = 60, groups: int = 20) -> float:
        return epsilon([run(noise, rounds, groups)], 1e-5)

    assert cost(2.0) < cost(1.3) < cost() < cost(0.7)
    assert cost(rounds=5) < cost(rounds=20) < cost(rounds=21) < cost(rounds=40) < cost() < cost(rounds=200)
    assert cost(groups=60) < cost(groups=30) < cost() < cost(groups=5)


def test_without_secrecy_nothing_is_gained() -> None:
    open_deal = QueryCost("training", 1.0, 60, "balls-in-bins", 1 / 20, 20)
    assert not open_deal.amplified
    assert epsilon([open_deal], 1e-5) == epsilon([QueryCost("training", 1.0, 3)], 1e-5)
    with pytest.raises(PrivacyError, match="secret"):
        QueryCost("training", 1.0, 60, "cyclic", 1 / 20, 20, secret=True)


def test_several_costs_are_of_one_dealing() -> None:
    """Never less than of dealings of their own, nor than if each began with the same group."""
    whole = epsilon([run(1.0, 60, 20)], 1e-5)
    assert epsilon([run(1.0, 20, 20)] * 3, 1e-5) == pytest.approx(whole, rel=1e-6)
    assert epsilon([run(1.0, 1, 20)] * 3, 1e-5) == pytest.approx(whole, rel=1e-6)
    mixed = epsilon([run(1.0, 40, 20), run(2.0, 20, 20)], 1e-5)
    assert epsilon([run(1.0, 40, 20)], 1e-5) < mixed < whole
    apart = epsilon([run(1.0, 20, 20), QueryCost("training", 1.0, 20, "poisson", 1 / 20)], 1e-5)
    assert apart < epsilon([run(1.0, 40, 20)], 1e-5)


def test_losses_beyond_all_numbers_are_accounted_without_the_dealing() -> None:
    loud = run(1 / (MOST_SHIFT * 1.01), 20, 20)
    assert epsilon([loud], 1e-5) >= epsilon_without_amplification([loud], 1e-5)
    assert math.isfinite(epsilon([run(1 / (MOST_SHIFT * 0.99), 20, 20)], 1e-5))


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 6), st.integers(1, 40), st.floats(0.005, 0.05))
def test_sums_keep_their_mean_and_are_never_too_narrow(shift: float, count: int, step: float) -> None:
    total = sum_of(lognormal(shift, step, 0.003), count)
    assert total.mean == pytest.approx(count, rel=1e-9)
    assert float(total.masses.sum()) + total.zero == pytest.approx(1.0, abs=1e-9)
    # What lies at infinity has more variance than there is.
    exact = count * math.expm1(shift**2)
    second = float(total.masses @ total.values**2) - count**2
    if shift < 1:
        assert second >= exact * (1 - 1e-6)
        assert second <= exact * (1 + step) + 2 * step**2 * (count + math.log2(count) * count**2) * math.exp(shift**2)


def test_constants_add_up() -> None:
    total = add(constant(3.0, 0.01, 0.0), constant(4.5, 0.01, 0.0))
    assert total.mean == pytest.approx(7.5, rel=1e-12)
    assert total.values[np.argmax(total.masses)] == pytest.approx(7.5, rel=0.01)
