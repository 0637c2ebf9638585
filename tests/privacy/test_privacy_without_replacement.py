"""Secret cohorts of a fixed size: the account is the largest divergence there is, and no smaller one."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from fedrec.privacy.accountant import QueryCost, delta, epsilon, gaussian_delta
from fedrec.privacy.dominating_pair import DominatingPair
from fedrec.privacy.without_replacement import dominating_pair, with_over_without, without_over_with

Array = np.ndarray
DELTA = 6040**-1.1
RATE = 100 / 6040
EPSILONS = np.array([0.0, 0.05, 0.3, 1.0, 2.5])


def density(points: Array, centre: Array, noise: float) -> Array:
    """Of Normal(centre, noise^2 I), points [..., d]."""
    squares = ((points - centre) ** 2).sum(-1)
    return np.exp(-squares / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi)) ** points.shape[-1]


def squares(centre: Array, noise: float, step: float = 0.06) -> Array:
    """What Normal(centre, noise^2 I) has in each square of the plane, exactly.

    Told squares instead of points, nobody tells two distributions apart better: a divergence of these is never above
    the true one, where one of densities at points is off by the grid.
    """
    edges = np.arange(-8 * noise - 1, 8 * noise + 1, step * noise)
    rows, columns = (np.diff(ndtr((edges - one) / noise)) for one in centre)
    return np.outer(rows, columns)


def divergence(first: Array, second: Array, area: float, level: float) -> float:
    return float(np.maximum(first - math.exp(level) * second, 0).sum() * area)


@settings(max_examples=25, deadline=None)
@example(1.0, 0.5, 1.0, 0.0, 0.0, 0.0)  # as far apart as is accounted, to the last digit
@given(
    st.floats(0.5, 2.0),
    st.floats(0.02, 0.9),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, math.pi),
    st.sampled_from([float(e) for e in EPSILONS]),
)
def test_no_contributions_tell_more_than_the_worst(
    noise: float, q: float, mine: float, other: float, angle: float, level: float
) -> None:
    """Whatever the device and the one in its place add, in the plane, which three points never leave."""
    x, y = np.array([mine, 0.0]), other * np.array([math.cos(angle), math.sin(angle)])
    without = (1 - q) * squares(y, noise)
    there, gone = (without + q * squares(centre, noise) for centre in (x, np.zeros(2)))
    worst = np.array([level])
    assert divergence(there, gone, 1.0, level) <= with_over_without(noise, q, worst)[0] + 1e-9
    assert divergence(gone, there, 1.0, level) <= without_over_with(noise, q, worst)[0] + 1e-9


@pytest.mark.parametrize("noise", [0.6, 1.5])
@pytest.mark.parametrize("q", [0.05, 0.5])
def test_the_worst_is_met(noise: float, q: float) -> None:
    points = np.arange(-12 * noise - 2, 12 * noise + 2, noise / 400)[:, None]
    area = float(points[1, 0] - points[0, 0])
    bounds = (with_over_without(noise, q, EPSILONS), without_over_with(noise, q, EPSILONS))
    for y, bound, order in ((-1.0, bounds[0], 1), (1.0, bounds[1], -1)):
        without = (1 - q) * density(points, np.array([y]), noise)
        pair = [without + q * density(points, np.array([c]), noise) for c in (1.0, 0.0)][::order]
        found = [divergence(pair[0], pair[1], area, float(level)) for level in EPSILONS]
        assert found == pytest.approx(list(bound), rel=2e-3, abs=1e-9)


def test_a_whole_population_tells_no_more_than_is_accounted() -> None:
    """Exactly: two of five devices, every cohort alike likely, and others that add what they will."""
    noise, points = 0.8, np.arange(-12.0, 12.0, 0.002)[:, None]
    bounds = (with_over_without(noise, 0.4, EPSILONS), without_over_with(noise, 0.4, EPSILONS))
    closest = 0.0
    for others in ((-1.0, -1.0, -1.0, -1.0), (1.0, 1.0, 1.0, 1.0), (1.0, -1.0, 0.3, -0.2), (0.0, 0.0, 0.0, 0.0)):
        there, gone = (
            sum(density(points, np.array([sum(cohort)]), noise) / 10 for cohort in itertools.combinations(values, 2))
            for values in ((1.0, *others), (0.0, *others))
        )
        for level, forth, back in zip(EPSILONS, *bounds, strict=True):
            seen = divergence(there, gone, 0.002, level), divergence(gone, there, 0.002, level)
            for found, bound in zip(seen, (forth, back), strict=True):
                assert found <= bound + 1e-6
                closest = max(closest, found / bound if bound > 1e-3 else 0.0)
    assert closest > 0.999  # all others opposite, or alike: nothing smaller would be true


def test_it_is_not_the_account_of_a_poisson_sample() -> None:
    """Accounted as one, the others could tell more than was said."""
    poisson = epsilon([QueryCost("training", 1.0, 1, "poisson", 0.1)], 1e-6)
    assert with_over_without(1.0, 0.1, np.array([poisson]))[0] > 1e-5


def test_everybody_is_the_plain_gaussian() -> None:
    for noise in (0.3, 1.0, 4.0):
        for found in (with_over_without(noise, 1.0, EPSILONS), without_over_with(noise, 1.0, EPSILONS)):
            assert list(found) == pytest.approx([gaussian_delta(noise, float(e)) for e in EPSILONS], abs=1e-12)


@pytest.mark.parametrize("noise", [0.05, 0.5, 1.0, 30.0])
def test_the_pair_bounds_what_it_is_made_of(noise: float) -> None:
    interval = 1e-3 * max(1.0, (0.3 / noise) ** 2)
    pair = dominating_pair(noise, 0.1, interval)
    levels = np.array([0.0, 0.013, 0.2, 1.0])
    bounds = with_over_without(noise, 0.1, levels), without_over_with(noise, 0.1, levels)
    for level, forth, back in zip(levels, *bounds, strict=True):
        assert forth - 1e-9 <= pair.delta(level) <= forth * (1 + 1e-2) + 1e-5
        assert back - 1e-9 <= pair.delta_reversed(level) <= back * (1 + 1e-2) + 1e-5
        # Below alpha 1 the two directions say the same.
        assert pair.delta(-level) == pytest.approx(1 - math.exp(-level) * (1 - pair.delta_reversed(level)), abs=1e-6)
    assert _total(pair) == pytest.approx((1.0, 1.0), abs=1e-6)


def _total(pair: DominatingPair) -> tuple[float, float]:
    return float(pair.upper.sum()) + pair.upper_alone, float(pair.lower.sum()) + pair.lower_alone


@pytest.mark.parametrize(("noise", "known"), [(1.9145, 1.0), (1.3283, 3.0), (0.9386, 8.0)])
def test_training_costs_what_is_known(noise: float, known: float) -> None:
    cost = QueryCost("training", noise, 200, "fixed", RATE, secret=True)
    assert epsilon([cost], DELTA) == pytest.approx(known, rel=2e-3)


def test_hardly_any_noise_is_accounted_too() -> None:
    for noise in (0.01, 0.03):
        cost = QueryCost("training", noise, 3, "fixed", 0.1, secret=True)
        assert epsilon([cost], 1e-5) > 200
        assert 0.2 < delta([cost], 1.0) <= 1


def test_more_noise_smaller_cohorts_and_fewer_rounds_cost_less() -> None:
    def cost(noise: float = 1.0, rounds: int = 50, share: float = 0.05, secret: bool = True) -> float:
        return epsilon([QueryCost("training", noise, rounds, "fixed", share, secret=secret)], 1e-5)

    assert cost(2.0) < cost(1.5) < cost(1.0) < cost(0.8)
    assert cost(rounds=10) < cost(rounds=50) < cost(rounds=200)
    assert cost(share=0.01) < cost(share=0.05) < cost(share=0.5) < cost(share=1.0)
    poisson = epsilon([QueryCost("training", 1.0, 50, "poisson", 0.05)], 1e-5)
    assert poisson < cost() < cost(secret=False) == epsilon([QueryCost("training", 1.0, 50)], 1e-5)
    assert cost(share=1.0) == cost(share=1.0, secret=False)
