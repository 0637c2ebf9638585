"""A rotation that pads nothing, loses nothing and spreads a vector over its elements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import PrivacyError, SumError
from fedrec.randomness import key
from fedrec.secagg.rotation import rotate, spread_bound, unrotate

KEY = key(0, "rotation test")


@settings(deadline=None, max_examples=40)
@given(length=st.integers(1, 300), seed=st.integers(0, 9))
def test_rotation_keeps_length_norms_and_sums_and_comes_back(length: int, seed: int) -> None:
    turn = key(seed, "turn")
    draw = np.random.default_rng(seed)
    a, b = draw.normal(size=length), draw.normal(size=length)
    turned = rotate(a, turn)
    assert len(turned) == length
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(a), rel=1e-12)
    assert np.abs(unrotate(turned, turn) - a).max() < 1e-12
    assert np.abs(rotate(a + b, turn) - turned - rotate(b, turn)).max() < 1e-12


@pytest.mark.parametrize("length", [1, 2, 3, 5, 16, 23, 31])
def test_it_is_an_orthogonal_matrix(length: int) -> None:
    """The rotations of the unit vectors are orthonormal: so noise keeps its distribution, and the inverse is exact."""
    matrix = np.array([rotate(unit, KEY) for unit in np.eye(length)])
    assert np.abs(matrix @ matrix.T - np.eye(length)).max() < 1e-12


def test_a_long_vector_comes_back_and_is_not_changed() -> None:
    vector = np.random.default_rng(0).normal(size=200_000) * 100
    before = vector.copy()
    assert np.abs(unrotate(rotate(vector, KEY), KEY) - vector).max() < 1e-9
    assert np.array_equal(vector, before)


def test_hand_computed_rotation() -> None:
    """Without signs the transform of (1, 0) is (1, 1)/sqrt(2); with them each is plus or minus that."""
    turned = rotate(np.array([1.0, 0.0]), KEY)
    assert np.abs(turned) == pytest.approx([math.sqrt(0.5)] * 2)
    assert turned[0] == turned[1]
    four = rotate(np.array([0.0, 2.0, 0.0, 0.0]), KEY)
    assert four[0] == pytest.approx(-four[1]) == pytest.approx(four[2]) == pytest.approx(-four[3])
    # Of three elements two are turned, then the last two: the third moves in the second turn only.
    assert np.abs(rotate(np.array([0.0, 0.0, 1.0]), KEY)) == pytest.approx([0.0, math.sqrt(0.5), math.sqrt(0.5)])


@pytest.mark.parametrize("length", [64, 65, 100, 127, 4096, 5000, 8191])
def test_no_vector_of_the_bound_is_far_beyond_its_variance(length: int) -> None:
    """The worst vectors for the transform, spikes and constants: eight deviations of the guaranteed variance."""
    span = 1 << (length.bit_length() - 1)
    draw = np.random.default_rng(length)
    spike, constant, heavy = np.eye(length)[length // 3], np.ones(length), draw.standard_t(1.5, size=length)
    for at, vector in enumerate((spike, constant, heavy, np.eye(length)[-1])):
        turned = rotate(vector / np.linalg.norm(vector), key(at, "worst"))
        assert np.abs(turned).max() < 8 / math.sqrt(span)


def test_a_clip_at_the_spread_bound_takes_next_to_nothing() -> None:
    length = 5000
    limit = spread_bound(1.0, length)
    assert limit == pytest.approx(5 / math.sqrt(length))
    draw = np.random.default_rng(5)
    beyond, moved = 0, 0.0
    for at in range(100):
        vector = draw.standard_t(3, size=length)
        turned = rotate(vector / np.linalg.norm(vector), key(at, "spread"))
        beyond += int((np.abs(turned) > limit).sum())
        moved += float(((np.abs(turned) - limit).clip(0) ** 2).sum())
    assert beyond <= 8  # 0.3 expected
    assert math.sqrt(moved / 100) < 1e-3
    assert spread_bound(2.0, 9) == 2.0


def test_rotation_depends_on_its_seed() -> None:
    ones = np.ones(4096)
    assert not np.allclose(rotate(ones, KEY), rotate(ones, key(1, "other")))


@pytest.mark.parametrize(
    "bad", [np.array([math.nan]), np.array([math.inf]), np.zeros((2, 2)), np.array([1, 2]), np.zeros(0)]
)
def test_bad_vectors_are_refused(bad: Any) -> None:
    for turn in (rotate, unrotate):
        with pytest.raises(SumError):
            turn(bad, KEY)


def test_absurd_arguments_are_refused() -> None:
    for bound, length in ((0.0, 1), (math.inf, 1), (1.0, 0)):
        with pytest.raises(SumError, match="rotated bound"):
            spread_bound(bound, length)
    with pytest.raises(PrivacyError, match="key"):
        rotate(np.ones(3), bytes(5))
