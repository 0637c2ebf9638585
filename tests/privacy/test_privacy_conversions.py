"""Groups of rows: exact where it can be, never below what is true, never above the general law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon, gaussian_delta
from fedrec.privacy.conversions import group_delta, group_epsilon

DELTA = 1e-5


@settings(max_examples=30, deadline=None)
@given(st.floats(0.5, 50), st.integers(1, 8), st.integers(1, 20))
def test_a_group_of_gaussian_rows_is_a_row_with_less_noise(z: float, size: int, rounds: int) -> None:
    found = group_epsilon([QueryCost("training", z, rounds)], DELTA, size)
    # moving k rows moves the sum k times as far: at z / (k sqrt(T)), delta must come out exactly
    assert gaussian_delta(z / (size * math.sqrt(rounds)), found) == pytest.approx(DELTA, rel=1e-3)
    assert found >= epsilon([QueryCost("training", z, rounds)], DELTA) * (1 - 1e-9)


def test_a_known_answer() -> None:
    assert group_epsilon([QueryCost("training", 6.0)], DELTA, 3) == pytest.approx(
        epsilon([QueryCost("training", 2.0)], DELTA)
    )
    assert group_epsilon([], DELTA, 3) == 0.0
    cyclic = [QueryCost("training", 4.0, 100, "cyclic", 0.04, 25)]  # 4 turns
    assert group_epsilon(cyclic, DELTA, 2) == pytest.approx(epsilon([QueryCost("training", 1.0)], DELTA))


def test_the_general_law() -> None:
    assert group_delta(0.0, 1e-6, 4) == pytest.approx(4e-6)
    assert group_delta(0.5, 1e-6, 3) == pytest.approx(1e-6 * (1 + math.exp(0.5) + math.exp(1.0)))
    assert group_delta(400.0, 1e-6, 9) == math.inf


def _true_delta(z: float, q: float, bound: float) -> float:
    """Of two rows that are drawn independently in one round, moving the sum the same way; numerically."""
    x = np.linspace(-40 * z, 40 * z + 2, 400_001)
    without = stats.norm.pdf(x, 0, z)
    within = (1 - q) ** 2 * without + 2 * q * (1 - q) * stats.norm.pdf(x, 1, z) + q**2 * stats.norm.pdf(x, 2, z)
    factor = math.exp(bound)
    step = x[1] - x[0]
    added = np.maximum(within - factor * without, 0).sum() * step
    taken = np.maximum(without - factor * within, 0).sum() * step
    return float(max(added, taken))


@pytest.mark.parametrize(("z", "q"), [(1.0, 0.05), (0.7, 0.2), (2.0, 0.5)])
def test_an_amplified_group_is_bounded_and_its_bound_holds(z: float, q: float) -> None:
    costs = [QueryCost("training", z, 1, "poisson", q)]
    one, two = group_epsilon(costs, DELTA, 1), group_epsilon(costs, DELTA, 2)
    assert one == epsilon(costs, DELTA)
    assert one < two <= epsilon([QueryCost("training", z / 2)], DELTA)
    assert _true_delta(z, q, two) <= DELTA
    assert _true_delta(z, q, one) > DELTA  # the row's own epsilon would not do


def test_a_group_that_makes_no_sense_is_refused() -> None:
    costs = [QueryCost("training", 8.0, 4)]
    with pytest.raises(PrivacyError, match="size of a group"):
        group_epsilon(costs, DELTA, 0)
    with pytest.raises(PrivacyError, match="delta"):
        group_epsilon(costs, 0.0, 2)
    with pytest.raises(PrivacyError, match="epsilon"):
        group_delta(-1.0, 1e-5, 2)
