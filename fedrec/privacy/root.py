"""Where a function of one number is 0, by Brent's method, as SciPy finds it, to the bit.

Calibrating noise needs no more of SciPy's optimisers than this, and loading them takes as long as a small simulation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Final

from fedrec.errors import PrivacyError

_RELATIVE: Final = 4 * sys.float_info.epsilon
_MOST_STEPS: Final = 100


def root(function: Callable[[float], float], low: float, high: float, *, tolerance: float) -> float:
    """Return where ``function`` is 0 between ``low`` and ``high``, where its signs differ, to within ``tolerance``.

    Brent 1973, "Algorithms for Minimization Without Derivatives", chapter 4: each step is by the secant or by inverse
    quadratic interpolation where that is short enough, and halves the bracket where it is not.

    Raises:
        PrivacyError: the signs are the same, or it is not found in 100 steps.
    """
    last, here = low, high
    last_value, value = function(last), function(here)
    if last_value == 0:
        return last
    if value == 0:
        return here
    if _negative(last_value) == _negative(value):
        raise PrivacyError("a function has the same sign at both ends of a bracket", value=(low, high))
    other, other_value = last, last_value
    before = step = here - last
    for _ in range(_MOST_STEPS):
        if last_value != 0 and value != 0 and _negative(last_value) != _negative(value):
            # The root is between the last two points.
            other, other_value = last, last_value
            before = step = here - last
        if abs(other_value) < abs(value):
            # The better end of the bracket is where we are.
            last, here, other = here, other, here
            last_value, value, other_value = value, other_value, value
        near = (tolerance + _RELATIVE * abs(here)) / 2
        half = (other - here) / 2
        if value == 0 or abs(half) < near:
            return here
        tried = math.nan
        if abs(before) > near and abs(value) < abs(last_value):
            tried = _interpolated((last, last_value), (here, value), (other, other_value))
        short = 2 * abs(tried) < min(abs(before), 3 * abs(half) - near)
        before, step = (step, tried) if short else (half, half)
        last, last_value = here, value
        here += step if abs(step) > near else math.copysign(near, half)
        value = function(here)
    raise PrivacyError("no root was found in 100 steps", value=(low, high))


def _interpolated(last: tuple[float, float], here: tuple[float, float], other: tuple[float, float]) -> float:
    """The step from ``here`` to where the points, each with its value, say that the root is; NaN if they do not."""
    (last_x, last_y), (x, y), (other_x, other_y) = last, here, other
    try:
        if last_x == other_x:
            return -y * (x - last_x) / (y - last_y)
        slope, other_slope = (last_y - y) / (last_x - x), (other_y - y) / (other_x - x)
        return -y * (other_y * other_slope - last_y * slope) / (other_slope * slope * (other_y - last_y))
    except ZeroDivisionError:
        return math.nan


def _negative(value: float) -> bool:
    return math.copysign(1.0, value) < 0
