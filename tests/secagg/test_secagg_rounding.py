"""Rounding without bias, told apart from rounding with it; a rotation that loses nothing; rings with room for both."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import PrivacyError, SumError
from fedrec.randomness import fresh_key, key
from fedrec.secagg.ring import Ring, resolution_for
from fedrec.secagg.rounding import rotate, rotated_bound, rotated_length, stochastic_round, unrotate

KEY = key(0, "rounding test")


def bias_score(rounded: Any, vector: Any, resolution: float) -> float:
    """How many standard deviations the mean error of unbiased rounding is away from zero."""
    remainder = vector / resolution - np.floor(vector / resolution)
    deviation = resolution * math.sqrt(float((remainder * (1 - remainder)).sum()))
    return abs(float((rounded - vector).sum())) / deviation


@pytest.mark.parametrize("remainder", [0.03, 0.25, 0.5, 0.9])
def test_the_mean_is_right_and_nearest_rounding_would_be_caught(remainder: float) -> None:
    resolution = 2.0**-4
    vector = np.full(100_000, (3 + remainder) * resolution)
    rounded = stochastic_round(vector, resolution, key(1, "mean", str(remainder)))
    assert bias_score(rounded, vector, resolution) < 5  # probability 6e-7
    nearest = np.rint(vector / resolution) * resolution
    assert bias_score(nearest, vector, resolution) > 5
    # One of the two neighbours each time, the upper one as often as the remainder says.
    assert set((rounded / resolution).tolist()) == {3.0, 4.0}
    assert abs((rounded > vector).mean() - remainder) < 5 * math.sqrt(remainder * (1 - remainder) / 100_000)


def test_the_mean_is_right_for_vectors_of_both_signs() -> None:
    vector = np.random.default_rng(3).normal(size=200_000) * 0.3
    assert bias_score(stochastic_round(vector, 0.25, KEY), vector, 0.25) < 5


def test_neighbouring_elements_round_independently() -> None:
    up = stochastic_round(np.full(100_000, 0.5), 1.0, KEY) - 0.5
    assert abs(float((up[1:] * up[:-1]).mean())) < 5 * 0.25 / math.sqrt(100_000)


@settings(deadline=None, max_examples=50)
@given(
    values=st.lists(st.floats(-100, 100), max_size=30),
    exponent=st.integers(-20, 4),
)
def test_rounded_elements_are_close_multiples(values: list[float], exponent: int) -> None:
    vector, resolution = np.array(values, dtype=np.float64), 2.0**exponent
    rounded = stochastic_round(vector, resolution, KEY)
    steps = rounded / resolution
    assert np.array_equal(steps, np.rint(steps))
    assert (np.abs(rounded - vector) < resolution).all()


def test_multiples_stay_and_the_same_key_repeats() -> None:
    multiples = np.arange(-1000, 1000) * 0.25
    assert np.array_equal(stochastic_round(multiples, 0.25, KEY), multiples)
    vector = np.linspace(-1, 1, 70_001)
    first = stochastic_round(vector, 2.0**-5, KEY)
    assert np.array_equal(first, stochastic_round(vector, 2.0**-5, KEY))
    assert not np.array_equal(first, stochastic_round(vector, 2.0**-5, fresh_key()))
    assert np.array_equal(stochastic_round(vector[:10], 2.0**-5, KEY), first[:10])


@settings(deadline=None, max_examples=100)
@given(bound=st.floats(1e-3, 1e3), fineness=st.integers(0, 16), rows=st.integers(1, 50), sign=st.sampled_from([1, -1]))
def test_the_ring_named_for_it_never_overflows(bound: float, fineness: int, rows: int, sign: int) -> None:
    """As many contributions as there are rows, each at the bound, however the dice fall: the exact sum comes out."""
    resolution = resolution_for(bound, fineness)
    ring = Ring.for_sum(bound + resolution / 2, resolution, rows)
    total = np.zeros(4, dtype=np.uint64)
    exact = np.zeros(4)
    for at in range(rows):
        rounded = stochastic_round(np.full(4, sign * bound), resolution, key(at, "overflow"))
        total = ring.add(total, ring.encode(rounded, resolution))
        exact += rounded / resolution
    assert ring.steps(total).tolist() == exact.tolist()
    worst = rows * (math.floor(bound / resolution) + 1)  # every die falls away from zero
    assert worst < ring.modulus // 2


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 300), seed=st.integers(0, 9))
def test_rotation_keeps_norms_and_sums_and_comes_back(length: int, seed: int) -> None:
    turn = key(seed, "turn")
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=length), draw.normal(size=length)
    turned = rotate(a, turn)
    assert len(turned) == rotated_length(length)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(a), rel=1e-12)
    assert np.abs(unrotate(turned, turn, length) - a).max() < 1e-9
    assert np.abs(rotate(a + b, turn) - turned - rotate(b, turn)).max() < 1e-9


def test_rotation_of_a_long_vector_comes_back() -> None:
    vector = np.random.default_rng(0).normal(size=200_000) * 100
    assert np.abs(unrotate(rotate(vector, KEY), KEY, 200_000) - vector).max() < 1e-9


def test_hand_computed_rotation() -> None:
    """Without signs the transform of (1, 0) is (1, 1)/sqrt(2); with them each is plus or minus that."""
    turned = rotate(np.array([1.0, 0.0]), KEY)
    assert np.abs(turned) == pytest.approx([math.sqrt(0.5)] * 2)
    assert turned[0] == turned[1]
    four = rotate(np.array([0.0, 2.0, 0.0, 0.0]), KEY)
    assert four[0] == pytest.approx(-four[1]) == pytest.approx(four[2]) == pytest.approx(-four[3])
    assert abs(four[0]) == pytest.approx(1.0)


def test_rotation_spreads_a_single_element_and_depends_on_its_seed() -> None:
    spike = np.zeros(5000)
    spike[17] = 8.0
    turned = rotate(spike, KEY)
    assert np.abs(turned) == pytest.approx(np.full(8192, 8 / math.sqrt(8192)))
    ones = np.ones(4096)
    assert not np.allclose(rotate(ones, KEY), rotate(ones, key(1, "other")))
    # All-equal elements are the transform's own worst case: only the signs spread them.
    assert np.abs(rotate(ones, KEY)).max() < rotated_bound(64.0, 4096, 1e-9)


def test_the_rotated_bound_holds_and_saves_bits() -> None:
    length, bound = 10_000, 1.0
    limit = rotated_bound(bound, length, 1e-6)
    assert limit == pytest.approx(math.sqrt(2 * math.log(2 * 16384 / 1e-6) / 16384))
    assert limit < 0.06
    draw = np.random.default_rng(5)
    for at in range(20):
        vector = draw.standard_t(2, size=length)
        vector *= bound / np.linalg.norm(vector)
        assert np.abs(rotate(vector, key(at, "bound"))).max() < limit
    assert rotated_bound(bound, 4, 1e-6) == bound
    assert Ring.for_sum(limit, 2.0**-12, 100).bits + 4 <= Ring.for_sum(bound, 2.0**-12, 100).bits


@pytest.mark.parametrize(("length", "padded"), [(1, 1), (2, 2), (3, 4), (1024, 1024), (1025, 2048)])
def test_rotated_lengths(length: int, padded: int) -> None:
    assert rotated_length(length) == padded


@pytest.mark.parametrize("bad", [np.array([math.nan]), np.array([math.inf]), np.zeros((2, 2)), np.array([1, 2])])
def test_bad_vectors_are_refused(bad: Any) -> None:
    with pytest.raises(SumError):
        stochastic_round(bad, 1.0, KEY)
    with pytest.raises(SumError):
        rotate(bad, KEY)
    with pytest.raises(SumError):
        unrotate(bad, KEY, 1)


def test_absurd_arguments_are_refused() -> None:
    vector = np.ones(3)
    for resolution in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SumError, match="resolution"):
            stochastic_round(vector, resolution, KEY)
    with pytest.raises(SumError, match="empty"):
        rotate(np.zeros(0), KEY)
    for length in (0, 5, 2):
        with pytest.raises(SumError, match="length"):
            unrotate(np.zeros(4), KEY, length)
    for bound, chance in ((0.0, 0.1), (math.inf, 0.1), (1.0, 0.0), (1.0, 1.0)):
        with pytest.raises(SumError, match="rotated bound"):
            rotated_bound(bound, 10, chance)
    with pytest.raises(PrivacyError, match="key"):
        stochastic_round(vector, 1.0, bytes(5))
    with pytest.raises(PrivacyError, match="key"):
        rotate(vector, bytes(5))
