"""Rounding without bias, told apart from rounding with it; rings with room for it; grids as coarse as they may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import PrivacyError, SumError
from fedrec.privacy.mechanism import check_resolution
from fedrec.randomness import fresh_key, key
from fedrec.secagg.ring import resolution_for
from fedrec.secagg.rotation import spread_bound
from fedrec.secagg.rounding import ACCURACY, ALIGNMENT, ring_for, rotated_resolution, stochastic_steps

KEY = key(0, "rounding test")


def bias_score(steps: Any, vector: Any, resolution: float) -> float:
    """How many standard deviations the mean error of unbiased rounding is away from zero."""
    exact = vector / resolution
    remainder = exact - np.floor(exact)
    return abs(float((steps - exact).sum())) / math.sqrt(float((remainder * (1 - remainder)).sum()))


@pytest.mark.parametrize("remainder", [0.03, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("resolution", [2.0**-4, 171 * 2.0**-12])
def test_the_mean_is_right_and_nearest_rounding_would_be_caught(remainder: float, resolution: float) -> None:
    vector = np.full(100_000, (3 + remainder) * resolution)
    steps = stochastic_steps(vector, resolution, key(1, "mean", str(remainder)))
    assert bias_score(steps, vector, resolution) < 5  # probability 6e-7
    assert bias_score(np.rint(vector / resolution), vector, resolution) > 5
    # One of the two neighbours each time, the upper one as often as the remainder says.
    assert set(steps.tolist()) == {3, 4}
    assert abs((steps == 4).mean() - remainder) < 5 * math.sqrt(remainder * (1 - remainder) / 100_000)


def test_the_mean_is_right_for_vectors_of_both_signs() -> None:
    vector = np.random.default_rng(3).normal(size=200_000) * 0.3
    assert bias_score(stochastic_steps(vector, 0.25, KEY), vector, 0.25) < 5


def test_neighbouring_elements_round_independently() -> None:
    up = stochastic_steps(np.full(100_000, 0.5), 1.0, KEY) - 0.5
    assert abs(float((up[1:] * up[:-1]).mean())) < 5 * 0.25 / math.sqrt(100_000)


@settings(deadline=None, max_examples=50)
@given(values=st.lists(st.floats(-100, 100), max_size=30), exponent=st.integers(-20, 4))
def test_rounded_elements_are_close_whole_numbers(values: list[float], exponent: int) -> None:
    vector, resolution = np.array(values, dtype=np.float64), 2.0**exponent
    steps = stochastic_steps(vector, resolution, KEY)
    assert steps.dtype == np.int64
    assert (np.abs(steps * resolution - vector) < resolution).all()


def test_multiples_stay_and_the_same_key_repeats() -> None:
    assert np.array_equal(stochastic_steps(np.arange(-1000, 1000) * 0.25, 0.25, KEY), np.arange(-1000, 1000))
    vector = np.linspace(-1, 1, 70_001)
    first = stochastic_steps(vector, 2.0**-5, KEY)
    assert np.array_equal(first, stochastic_steps(vector, 2.0**-5, KEY))
    assert not np.array_equal(first, stochastic_steps(vector, 2.0**-5, fresh_key()))
    assert np.array_equal(stochastic_steps(vector[:10], 2.0**-5, KEY), first[:10])


@settings(deadline=None, max_examples=100)
@given(bound=st.floats(1e-3, 1e3), fineness=st.integers(0, 16), rows=st.integers(1, 50), sign=st.sampled_from([1, -1]))
def test_the_ring_named_for_it_never_overflows(bound: float, fineness: int, rows: int, sign: int) -> None:
    """As many contributions as there are rows, each at the bound, however the dice fall: the exact sum comes out."""
    resolution = resolution_for(bound, fineness)
    ring = ring_for(bound, resolution, rows)
    total = np.zeros(4, dtype=np.uint64)
    exact = np.zeros(4, dtype=np.int64)
    for at in range(rows):
        steps = stochastic_steps(np.full(4, sign * bound), resolution, key(at, "overflow"))
        total = ring.add(total, ring.from_steps(steps))
        exact += steps
    assert ring.steps(total).tolist() == exact.tolist()
    worst = rows * (math.floor(bound / resolution) + 1)  # every die falls away from zero
    assert worst < ring.modulus // 2


@settings(deadline=None, max_examples=100)
@given(bound=st.floats(1e-3, 1e3), length=st.integers(1, 10**7), rows=st.integers(1, 10**5), share=st.floats(0.001, 1))
def test_a_rotated_sums_grid_is_as_fine_as_it_must_be_and_fills_its_ring(
    bound: float, length: int, rows: int, share: float
) -> None:
    expected = max(1, int(share * rows))
    resolution = rotated_resolution(bound, length, rows, expected)
    limit = spread_bound(bound, length)
    check_resolution(resolution)
    assert resolution <= limit
    error = resolution * math.sqrt(expected * length / 6)
    assert error <= ACCURACY * ALIGNMENT * expected * bound * (1 + 2.0**-6)
    bits = ring_for(limit, resolution, rows).bits
    # One bit fewer would not do for the accuracy, nor would a finer grid fit these bits.
    assert ring_for(limit, min(2.1 * resolution, limit), rows).bits <= bits
    assert ring_for(limit, resolution / (1 + 2.0**-5), rows).bits > bits or rows * limit / resolution < 2**8


@pytest.mark.parametrize(("rows", "bits"), [(100, 19), (600, 20), (1000, 20), (6040, 22)])
@pytest.mark.parametrize("length", [4425, 100_000, 1_000_000])
def test_the_bits_of_model_updates(rows: int, bits: int, length: int) -> None:
    resolution = rotated_resolution(1.0, length, rows, rows)
    assert ring_for(spread_bound(1.0, length), resolution, rows).bits == bits


@pytest.mark.parametrize("bad", [np.array([math.nan]), np.array([math.inf]), np.zeros((2, 2)), np.array([1, 2])])
def test_bad_vectors_are_refused(bad: Any) -> None:
    with pytest.raises(SumError):
        stochastic_steps(bad, 1.0, KEY)


def test_absurd_arguments_are_refused() -> None:
    vector = np.ones(3)
    for resolution in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SumError, match="resolution"):
            stochastic_steps(vector, resolution, KEY)
    with pytest.raises(SumError, match="too many steps"):
        stochastic_steps(vector, 2.0**-60, KEY)
    with pytest.raises(PrivacyError, match="key"):
        stochastic_steps(vector, 1.0, bytes(5))
    for rows, expected in ((3, 0), (3, 4)):
        with pytest.raises(SumError, match="expected rows"):
            rotated_resolution(1.0, 10, rows, expected)
