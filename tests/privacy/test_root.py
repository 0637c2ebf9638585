"""A root is SciPy's, to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from fedrec.errors import PrivacyError
from fedrec.privacy.root import root

FUNCTIONS: tuple[Callable[[float], float], ...] = (
    lambda x: x,
    lambda x: x**3 - 2.0 * x - 5.0,
    lambda x: math.exp(-x) - 0.3,
    lambda x: math.log1p(abs(x)) - 1.7,
    lambda x: math.copysign(1.0, x - 1.0),
    lambda x: math.atan(50.0 * (x - 0.01)),
    lambda x: -math.inf if x < 0.25 else (x - 0.75) ** 9 + (x - 0.75) * 1e-6,
    lambda x: 1e-200 * (x - 1.5),
)


@given(
    which=st.integers(0, len(FUNCTIONS) - 1),
    low=st.floats(-20, 20),
    high=st.floats(-20, 20),
    tolerance=st.sampled_from([1e-12, 1e-5, 1e-3]),
)
def test_it_is_scipys(which: int, low: float, high: float, tolerance: float) -> None:
    function = FUNCTIONS[which]
    try:
        wanted = float(brentq(function, low, high, xtol=tolerance))
    except (ValueError, RuntimeError):
        with pytest.raises(PrivacyError):
            root(function, low, high, tolerance=tolerance)
        return
    assert root(function, low, high, tolerance=tolerance) == wanted


def test_the_same_points_are_asked() -> None:
    asked: list[list[float]] = [[], []]

    def noting(place: int) -> Callable[[float], float]:
        def function(x: float) -> float:
            asked[place].append(x)
            return math.cos(x) - x

        return function

    found = root(noting(0), -3.0, 4.0, tolerance=1e-12)
    assert found == brentq(noting(1), -3.0, 4.0, xtol=1e-12)
    assert asked[0] == asked[1]
    assert abs(math.cos(found) - found) < 1e-12
