"""The discrete Gaussian: whole numbers k with probability in proportion to exp(-k^2 / (2 s^2)).

**Up to s = 4096** it is drawn by inverting the distribution of |k|, tabulated in whole numbers of 2^-127 and computed
in integers of 256 bits, with 127 random bits of a cryptographic generator and one for the sign.  Each draw is within
statistical distance 2^-110 of the exact distribution: at most 2^-127 for each of up to 2^16 entries, and 2^-120 for the
tail beyond 13 s, which is never drawn.

**Above**, it is m A + B with independent A and B of parameters a and b = 4 m, so that s^2 = m^2 a^2 + b^2, both at most
4096, or A made so again.  Completing the square, the probability that m A + B = y is rho_s(y) times the sum over all
integers x of rho_t(x - c), t = a b / s and c = y m a^2 / s^2, times constants, with rho as in `distributed`.  By
Poisson's summation formula that sum is the same for all y up to a factor within [(1 - e) / (1 + e), (1 + e) / (1 - e)]
with e = 2 sum_{k >= 1} exp(-2 pi^2 t^2 k^2) (Peikert, CRYPTO 2010, section 3; Micciancio and Walter, CRYPTO 2017,
section 3).  Here a > 1023 and t > 3.999, so e < 1e-136: nothing beside the tables.

The search of a table takes a time that depends on its size, not on what is found, up to the processor's caches.
"""

from __future__ import annotations

import bisect
import math
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import PrivacyError
from fedrec.randomness import KEY_BYTES, keystream

LEAST, MOST = 0.5, 2.0**40
_TABLED: Final = 2.0**12  # the largest parameter that has a table of its own
_FINE: Final = 4  # b over m
_MOST_STRIDE: Final = 2**10
_TAIL: Final = 13.0  # deviations
_BITS: Final = 127
_WORK: Final = 256  # bits of the integers that the table is computed in
_CHUNK: Final = 1 << 16


def discrete_gaussian(key: bytes, deviation: float, n: int) -> NDArray[np.int64]:
    """``n`` independent draws of parameter s = ``deviation``, which from 1 up is the standard deviation to 7 digits.

    Args:
        key: 32 bytes, secret, used for these draws only.
        deviation: 0.5 to 2^40.
        n: at least 0.

    Raises:
        PrivacyError: the key is not 32 bytes, or a number is out of range.
    """
    check_deviation(deviation)
    if n < 0:
        raise PrivacyError("cannot draw a negative amount of noise", value=n)
    if deviation <= _TABLED:
        return _from_table(key, float(deviation), n)
    stride, coarse = _split(float(deviation))
    keys = keystream(key, 2 * KEY_BYTES)
    drawn = discrete_gaussian(keys[:KEY_BYTES], coarse, n)
    drawn *= stride
    drawn += _from_table(keys[KEY_BYTES:], float(_FINE * stride), n)
    return drawn


def sum_of_shares(key: bytes, share: float, devices: int, n: int) -> NDArray[np.int64]:
    """What ``devices`` independent draws of parameter ``share`` add up to, n times.

    From a share of 3 on, the same distribution but for a factor within 1e-20 of 1: see `distributed`.  Raises as
    `discrete_gaussian`.
    """
    return discrete_gaussian(key, share * math.sqrt(devices), n)


def _split(deviation: float) -> tuple[int, float]:
    """m, a power of two, and a, for a parameter above 4096: m^2 (a^2 + 16) is its square."""
    stride = 2
    while stride < _MOST_STRIDE and deviation / stride > _TABLED / 2:
        stride *= 2
    return stride, math.sqrt((deviation / stride) ** 2 - _FINE**2)


def _from_table(key: bytes, deviation: float, n: int) -> NDArray[np.int64]:
    exact, high = _table(deviation)
    words = np.frombuffer(keystream(key, 16 * n), dtype="<u8").reshape(n, 2)
    drawn = np.empty(n, dtype=np.int64)
    for start in range(0, n, _CHUNK):
        first, second = words[start : start + _CHUNK].T
        places = np.searchsorted(high, first, side="right")
        # Where the first 64 bits are those of an entry, the other 63 decide. It hardly ever happens.
        for at in np.flatnonzero(high[np.maximum(places - 1, 0)] == first):
            places[at] = bisect.bisect_right(exact, int(first[at]) << 63 | int(second[at]) >> 1)
        signs = 1 - 2 * (second & np.uint64(1)).astype(np.int64)
        np.multiply(places, signs, out=drawn[start : start + _CHUNK])
    return drawn


def check_deviation(deviation: float) -> None:
    """Raise PrivacyError unless the deviation can be drawn."""
    if not LEAST <= deviation <= MOST:
        wanted = f"a discrete Gaussian's deviation must be {LEAST:g} to 2^{math.log2(MOST):g} steps"
        raise PrivacyError(wanted, value=deviation, action="Use another resolution")


@lru_cache(maxsize=16)
def _table(deviation: float) -> tuple[list[int], NDArray[np.uint64]]:
    """For k = 0, 1, ...: the chance of |k| or less, in units of 2^-127; and its first 64 bits as an array.

    The last entry is 2^127, above all draws, and is left out: what is beyond the others is the last k.
    """
    weights = _weights(deviation)
    total = weights[0] + 2 * sum(weights[1:])
    exact, passed = [], weights[0]
    for weight in weights[1:]:
        exact.append((passed << _BITS) // total)
        passed += 2 * weight
    return exact, np.array([entry >> 63 for entry in exact], dtype=np.uint64)


def _weights(deviation: float) -> list[int]:
    """exp(-k^2 / (2 s^2)) in units of 2^-256, for k from 0 to 13 s.

    Each is the one before times exp(-(2k + 1) / (2 s^2)), and that factor the one before times exp(-1 / s^2).
    """
    with localcontext() as context:
        context.prec = 100
        square = Decimal(deviation) ** 2
        unit = Decimal(1 << _WORK)
        factor, step = int((-1 / (2 * square)).exp() * unit), int((-1 / square).exp() * unit)
    weights, weight = [], 1 << _WORK
    for _ in range(math.ceil(_TAIL * deviation) + 1):
        weights.append(weight)
        weight = weight * factor >> _WORK
        factor = factor * step >> _WORK
    return weights
