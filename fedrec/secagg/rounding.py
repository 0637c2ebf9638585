"""Rounding that keeps sums unbiased, and a rotation that spreads a vector so that few bits an element suffice.

Stochastic rounding goes up with the probability of the remainder, so the mean of many contributions is right however
coarse the grid (Suresh et al., ICML 2017, section 2.1).  The rotation, random signs and then a Walsh-Hadamard transform
(section 3 there), keeps norms and sums and makes every element about as large as every other.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.randomness import keystream

_CHUNK = 1 << 15  # elements at a time, so that temporary arrays stay in the processor's cache
_RADIX = 32


def stochastic_round(vector: NDArray[np.floating[Any]], resolution: float, key: bytes) -> NDArray[np.float64]:
    """Each element as one of the two multiples of ``resolution`` around it; its expectation is the element.

    Exact where the resolution is a power of two and elements are below 2^52 steps; the bias is below 2^-52 of a step.
    An element moves by less than a step, twice what nearest rounding moves it: a ring that a sum of such vectors
    cannot overflow is ``Ring.for_sum(bound + resolution / 2, resolution, rows)``, and one contribution's norm grows by
    less than ``resolution * sqrt(n)``.

    ``key``: 32 bytes, secret, used for this vector only.  Returns float64 [n], which `Ring.encode` takes exactly.

    Raises:
        SumError: the vector is not one-dimensional and finite, or the resolution not positive and finite.
        PrivacyError: the key is not 32 bytes.
    """
    _check_vector(vector)
    if not (math.isfinite(resolution) and resolution > 0):
        raise SumError("a grid's resolution must be positive and finite", value=resolution)
    drawn = np.frombuffer(keystream(key, 8 * len(vector)), dtype="<u8")
    rounded = np.empty(len(vector))
    for start in range(0, len(vector), _CHUNK):
        steps = vector[start : start + _CHUNK] / np.float64(resolution)
        whole = np.floor(steps)
        steps -= whole
        # 53 bits: a remainder that is a multiple of 2^-53 is met exactly.
        whole += (drawn[start : start + _CHUNK] >> np.uint64(11)) * 2.0**-53 < steps
        np.multiply(whole, resolution, out=rounded[start : start + _CHUNK])
    return rounded


def rotate(vector: NDArray[np.floating[Any]], seed: bytes) -> NDArray[np.float64]:
    """The vector, padded with zeros to a power of two, after random signs and an orthonormal Hadamard transform.

    Linear, and the L2 norm stays: sums of rotated vectors are rotated sums.  ``seed``: 32 bytes, the same for all
    contributions of a sum; it need not be secret.  Returns float64 [`rotated_length`].

    Raises:
        SumError: the vector is empty, not one-dimensional or not finite.
        PrivacyError: the seed is not 32 bytes.
    """
    _check_vector(vector)
    if not len(vector):
        raise SumError("an empty vector cannot be rotated")
    padded = np.zeros(rotated_length(len(vector)))
    padded[: len(vector)] = vector
    padded[: len(vector)] *= _signs(seed, len(vector))
    return _hadamard(padded)


def unrotate(rotated: NDArray[np.floating[Any]], seed: bytes, length: int) -> NDArray[np.float64]:
    """The first ``length`` elements of what `rotate` was given (or of the sum of what it was given); float64 [length].

    Raises:
        SumError: the rotated vector does not belong to a vector of this length.
        PrivacyError: the seed is not 32 bytes.
    """
    _check_vector(rotated)
    if length < 1 or len(rotated) != rotated_length(length):
        raise SumError("a rotated vector has another length than the sum's", value=(len(rotated), length))
    turned: NDArray[np.float64] = _hadamard(rotated.astype(np.float64))[:length]
    turned *= _signs(seed, length)
    return turned


def rotated_length(length: int) -> int:
    """Elements of a rotated vector: the smallest power of two that is not below ``length`` (at least 1)."""
    return 1 << max(0, length - 1).bit_length()


def rotated_bound(bound: float, length: int, chance: float) -> float:
    """What no element of a rotated vector of L2 norm ``bound`` exceeds, but with probability ``chance``.

    Hoeffding's inequality for the random signs, and a union over the elements: for a vector chosen before the seed.
    A device must clip to it, so that the ring cannot overflow; the clip changes a vector with that probability only.

    Raises:
        SumError: bound or chance is out of range.
    """
    if not (math.isfinite(bound) and bound > 0 and 0 < chance < 1 and length >= 1):
        raise SumError("a rotated bound needs a positive bound and a chance from 0 to 1", value=(bound, chance))
    elements = rotated_length(length)
    return float(bound * min(1.0, math.sqrt(2 * math.log(2 * elements / chance) / elements)))


def _signs(seed: bytes, length: int) -> NDArray[np.float64]:
    drawn = np.frombuffer(keystream(seed, (length + 7) // 8), dtype=np.uint8)
    return np.asarray(1.0 - 2.0 * np.unpackbits(drawn, count=length), dtype=np.float64)


def _hadamard(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The orthonormal Walsh-Hadamard transform of 2^k elements: its own inverse."""
    # A transform of 32 at a time is a small matrix product: a third of the passes over memory that halving takes.
    size, done = len(vector), 1
    while done < size:
        radix = min(_RADIX, size // done)
        vector = np.matmul(_matrix(radix), vector.reshape(-1, radix, done)).reshape(-1)
        done *= radix
    return vector


def _matrix(size: int) -> NDArray[np.float64]:
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / math.sqrt(size)


def _check_vector(vector: NDArray[np.floating[Any]]) -> None:
    if vector.ndim != 1 or not np.issubdtype(vector.dtype, np.floating):
        raise SumError("a vector of floats is needed", value=(vector.shape, str(vector.dtype)))
    if not np.isfinite(vector).all():
        raise SumError("a contribution holds a number that is not finite", action="Mend the computation of it")
