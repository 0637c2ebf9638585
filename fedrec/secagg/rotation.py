"""A public rotation that spreads a vector over all its elements, so that few bits an element suffice.

Random signs and a Walsh-Hadamard transform, as in Suresh et al. (ICML 2017, section 3), which asks for a power of two
of elements and so for up to twice the bits on the wire.  Here nothing is padded.  With p the largest power of two that
is not above the length d, the first p elements are turned, then the last p, each time with signs of their own.  Each
turn is an orthogonal matrix (a transform beside an identity), so their product is: norms stay, sums of rotated vectors
are rotated sums, Gaussian noise stays what it is, and the inverse is the two turns backwards.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.randomness import keystream

# Standard deviations of an evenly spread element that fit under the bound.
_SPREAD = 5.0
_RADIX = 32


def rotate(vector: NDArray[np.floating[Any]], seed: bytes) -> NDArray[np.float64]:
    """The rotated vector; float64 of the same length.

    ``seed``: 32 bytes, the same for all contributions of a sum; it need not be secret.

    Raises:
        SumError: the vector is empty, not one-dimensional or not finite.
        PrivacyError: the seed is not 32 bytes.
    """
    turned = _checked(vector)
    span, (first, last) = _span(len(turned)), _signs(seed, len(turned))
    turned[:span] = _hadamard(turned[:span] * first)
    if span < len(turned):
        turned[-span:] = _hadamard(turned[-span:] * last)
    return turned


def unrotate(rotated: NDArray[np.floating[Any]], seed: bytes) -> NDArray[np.float64]:
    """What `rotate` was given, or the sum of what it was given; float64 of the same length. Raises as `rotate`."""
    turned = _checked(rotated)
    span, (first, last) = _span(len(turned)), _signs(seed, len(turned))
    if span < len(turned):
        turned[-span:] = _hadamard(turned[-span:]) * last
    turned[:span] = _hadamard(turned[:span]) * first
    return turned


def spread_bound(bound: float, length: int) -> float:
    """What an element of a rotated vector of L2 norm ``bound`` is clipped to: five standard deviations.

    Over the signs, an element is a sum of independent terms with zero mean.  Its variance is at most bound^2 / p
    (Hoeffding's inequality then holds with it), and bound^2 / d where the vector's energy is spread over its two
    overlapping spans as their sizes are.  At five deviations a clip takes 6e-7 of the elements, shortens a vector of
    full norm by 6e-7 of it on average, and moves it by 2e-4 of its norm; a shorter vector is moved less.

    Raises:
        SumError: the bound is not positive and finite, or the length below 1.
    """
    if not (math.isfinite(bound) and bound > 0) or length < 1:
        raise SumError("a rotated bound needs a positive bound and a length", value=(bound, length))
    return bound * min(1.0, _SPREAD / math.sqrt(length))


def _span(length: int) -> int:
    return 1 << (length.bit_length() - 1)


def _signs(seed: bytes, length: int) -> NDArray[np.float64]:
    """The signs of both turns, [2, span]."""
    span = _span(length)
    drawn = np.frombuffer(keystream(seed, (2 * span + 7) // 8), dtype=np.uint8)
    return np.asarray(1.0 - 2.0 * np.unpackbits(drawn, count=2 * span), dtype=np.float64).reshape(2, span)


def _hadamard(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The orthonormal Walsh-Hadamard transform of 2^k elements: its own inverse."""
    # A transform of 32 at a time is a small matrix product: a third of the passes over memory that halving takes.
    size, done = len(vector), 1
    while done < size:
        radix = min(_RADIX, size // done)
        vector = np.matmul(_matrix(radix), vector.reshape(-1, radix, done)).reshape(-1)
        done *= radix
    return vector


@lru_cache(maxsize=8)
def _matrix(size: int) -> NDArray[np.float64]:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / math.sqrt(size)


def _checked(vector: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """A copy to work on."""
    if vector.ndim != 1 or not len(vector) or not np.issubdtype(vector.dtype, np.floating):
        raise SumError("a vector of floats is rotated", value=(vector.shape, str(vector.dtype)))
    if not np.isfinite(vector).all():
        raise SumError("a contribution holds a number that is not finite", action="Mend the computation of it")
    return np.array(vector, dtype=np.float64)
