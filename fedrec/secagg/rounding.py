"""Rounding that keeps sums unbiased, and the coarsest grid on which a sum is still as good as it should be.

Stochastic rounding goes up with the probability of the remainder, so the mean of many contributions is right however
coarse the grid (Suresh et al., ICML 2017, section 2.1).  Rounding to the nearest step has half the variance, but its
errors add up where many devices hold the same value, as they do in counts (a user with n items adds 1/sqrt(n) to each).

A grid's step has at most eight significant bits.  So whole numbers of steps up to 2^45, their sums, and noise in whole
steps are exact in double precision, and a ring can be filled to within a percent of its size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.privacy.mechanism import STEP_NUMERATORS
from fedrec.randomness import keystream
from fedrec.secagg.ring import Ring
from fedrec.secagg.rotation import spread_bound

# Relative error of a sum, root mean square, if the sum is at least this part of what rows at the bound could make it.
ACCURACY = 1e-3
ALIGNMENT = 1 / 8
_CHUNK = 1 << 15  # elements at a time, so that temporary arrays stay in the processor's cache


def stochastic_steps(vector: NDArray[np.floating[Any]], resolution: float, key: bytes) -> NDArray[np.int64]:
    """Each element as one of the two whole numbers of steps around it; its expectation is the element.

    Exact but for the division by the resolution and 53 bits of chance: the bias is below 2^-51 of the element, in
    steps.  An element moves by less than a step, so a ring that a sum of such vectors cannot overflow is
    ``Ring.for_sum(bound + resolution / 2, resolution, rows)``.

    ``key``: 32 bytes, used for this vector only.  Returns int64 [n].

    Raises:
        SumError: the vector is not one-dimensional and finite, an element is 2^52 steps or more, or the resolution
            not positive and finite.
        PrivacyError: the key is not 32 bytes.
    """
    _check_vector(vector)
    if not (math.isfinite(resolution) and resolution > 0):
        raise SumError("a grid's resolution must be positive and finite", value=resolution)
    if vector.size and not float(np.abs(vector).max()) / resolution < 2.0**52:
        raise SumError("an element is too many steps", action="Use a coarser resolution")
    drawn = np.frombuffer(keystream(key, 8 * len(vector)), dtype="<u8")
    rounded = np.empty(len(vector), dtype=np.int64)
    for start in range(0, len(vector), _CHUNK):
        steps = vector[start : start + _CHUNK] / np.float64(resolution)
        whole = np.floor(steps)
        steps -= whole
        # 53 bits: a remainder that is a multiple of 2^-53 is met exactly.
        whole += (drawn[start : start + _CHUNK] >> np.uint64(11)) * 2.0**-53 < steps
        rounded[start : start + _CHUNK] = whole
    return rounded


def noisy_resolution(bound: float, length: int) -> float:
    """The step for a sum whose noise is added on the devices: as coarse as costs at most a percent more noise.

    Noise is in proportion to `grid_sensitivity`.  With c = bound / resolution at least 5 sqrt(length) and 2048, that is
    at most 1.01 times the bound: length / (8 c^2) <= 0.005, and sqrt(2 ln 2^80) (c + sqrt(length) / 2) / (2 c^2) <=
    0.003.  Raises SumError where the bound or length is out of range.
    """
    if not (math.isfinite(bound) and bound > 0 and length >= 1):
        raise SumError("a sum needs a positive bound and a length", value=(bound, length))
    return short_below(bound / max(2048.0, 5 * math.sqrt(length)))


def rotated_resolution(bound: float, length: int, rows: int, expected: int) -> float:
    """The step for a rotated sum: `ACCURACY` with the fewest bits, then the finest that these bits hold.

    Stochastic rounding adds at most resolution^2 / 4 to an element's variance, resolution^2 / 6 on average over
    remainders, which a rotated vector takes evenly: n rounded rows are off by resolution * sqrt(n length / 6).

    Args:
        bound: largest L2 norm of a row.
        length: elements.
        rows: most rows in the sum, which the ring must hold.
        expected: rows that a sum is expected to have, at most ``rows``, for the accuracy.

    Raises:
        SumError: a value is out of range, or no ring holds the sum.
    """
    if not 1 <= expected <= rows:
        raise SumError("a sum's expected rows are from 1 to its rows", value=(expected, rows))
    limit = spread_bound(bound, length)
    coarsest = min(ACCURACY * ALIGNMENT * bound * math.sqrt(6 * expected / length), limit)
    return _finest(limit, rows, ring_for(limit, coarsest, rows).bits)


def ring_for(limit: float, resolution: float, rows: int, noise: int = 0) -> Ring:
    """The narrowest ring for rows of elements up to ``limit``, stochastically rounded. Raises as `Ring.for_sum`."""
    return Ring.for_sum(limit + resolution / 2, resolution, rows, noise)


def _finest(limit: float, rows: int, bits: int) -> float:
    """The finest short step with which a ring of so many bits holds the sum; one that holds it must exist."""
    resolution = _short_from(limit * rows / 2.0 ** (bits - 1))
    while ring_for(limit, resolution, rows).bits > bits:
        resolution = _short_from(resolution * (1 + 1 / STEP_NUMERATORS))
    return resolution


def _short_from(least: float) -> float:
    """The smallest step from ``least`` up that has at most eight significant bits."""
    fraction, exponent = math.frexp(least)
    return math.ldexp(math.ceil(fraction * STEP_NUMERATORS) / STEP_NUMERATORS, exponent)


def short_below(most: float) -> float:
    """The largest step up to ``most`` that has at most eight significant bits."""
    fraction, exponent = math.frexp(most)
    return math.ldexp(math.floor(fraction * STEP_NUMERATORS) / STEP_NUMERATORS, exponent)


def _check_vector(vector: NDArray[np.floating[Any]]) -> None:
    if vector.ndim != 1 or not np.issubdtype(vector.dtype, np.floating):
        raise SumError("a vector of floats is needed", value=(vector.shape, str(vector.dtype)))
    if not np.isfinite(vector).all():
        raise SumError("a contribution holds a number that is not finite", action="Mend the computation of it")
