"""The discrete Gaussian: whole numbers k with probability in proportion to exp(-k^2 / (2 s^2)).

It is drawn by inverting the distribution of |k|, tabulated in whole numbers of 2^-127 and computed in integers of 256
bits, with 127 random bits of a cryptographic generator and one for the sign.  Each draw is within statistical distance
2^-104 of the exact distribution: at most 2^-127 for each of up to 2^22 entries, and 2^-120 for the tail beyond 13 s,
which is never drawn.  The search of the table takes a time that depends on its size, not on what is found, up to the
processor's caches.
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

LEAST, MOST = 0.5, 2.0**18
_TAIL: Final = 13.0  # deviations
_BITS: Final = 127
_WORK: Final = 256  # bits of the integers that the table is computed in
_CHUNK: Final = 1 << 16


def discrete_gaussian(key: bytes, deviation: float, n: int) -> NDArray[np.int64]:
    """``n`` independent draws of parameter s = ``deviation``, which from 1 up is the standard deviation to 7 digits.

    Args:
        key: 32 bytes, secret, used for these draws only.
        deviation: 0.5 to 2^18.
        n: at least 0.

    Raises:
        PrivacyError: the key is not 32 bytes, or a number is out of range.
    """
    check_deviation(deviation)
    if n < 0:
        raise PrivacyError("cannot draw a negative amount of noise", value=n)
    exact, high = _table(float(deviation))
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


def sum_of_shares(key: bytes, share: float, devices: int, n: int) -> NDArray[np.int64]:
    """What ``devices`` independent draws of parameter ``share`` add up to, n times, in as few draws as there must be.

    From a share of 3 on, the same distribution but for a factor within 1e-20 of 1: see `distributed`.  Raises as
    `discrete_gaussian`.
    """
    draws = max(1, math.ceil(devices * (share / MOST) ** 2))
    total = np.zeros(n, dtype=np.int64)
    for start in range(0, KEY_BYTES * draws, KEY_BYTES):
        part = keystream(key, KEY_BYTES * draws)[start : start + KEY_BYTES]
        total += discrete_gaussian(part, share * math.sqrt(devices / draws), n)
    return total


def check_deviation(deviation: float) -> None:
    """Raise PrivacyError unless the deviation can be drawn."""
    if not LEAST <= deviation <= MOST:
        wanted = f"a discrete Gaussian's deviation must be {LEAST:g} to {MOST:g} steps"
        raise PrivacyError(wanted, value=deviation, action="Use another resolution")


@lru_cache(maxsize=32)
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
