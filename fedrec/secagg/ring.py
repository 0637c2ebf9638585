"""Whole numbers modulo a power of two: the form in which contributions travel and are added.

A real vector is rounded to multiples of a resolution and written in two's complement modulo 2^bits.  Adding in the
ring is exact, commutes with masking, and cannot overflow: `Ring.for_sum` takes the width from the worst case.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError

MOST_BITS = 62
# A clipped float32 vector may pass its bound by rounding; encode() lets this much through, and for_sum() has room
# for twice as much, so that its own division cannot eat the room.
SLACK = 2.0**-17
_CHUNK = 1 << 14  # elements encoded at a time, so that temporary arrays stay in the processor's cache


@dataclass(frozen=True)
class Ring:
    """The integers modulo 2^bits, read as -2^(bits-1) to 2^(bits-1) - 1.

    Args:
        bits: 1 to 62, so that the sum of two elements fits 64 bits.

    Raises:
        SumError: bits is not such a number.
    """

    bits: int

    def __post_init__(self) -> None:
        if isinstance(self.bits, bool) or not isinstance(self.bits, int) or not 1 <= self.bits <= MOST_BITS:
            raise SumError(f"a ring has 1 to {MOST_BITS} bits", value=self.bits, action="Use a coarser resolution")

    @classmethod
    def for_sum(cls, bound: float, resolution: float, rows: int, noise: int = 0) -> Ring:
        """The narrowest ring in which a sum over ``rows`` rows cannot overflow.

        ``bound``: most that one row adds to one element, in absolute value.  However the rows are spread over
        contributions, and with every contribution's rounding up by half a step, the sum stays inside.  ``noise``: steps
        on top that noise in the contributions may move the sum by.

        Raises:
            SumError: a value is not positive and finite, or more than 62 bits would be needed.
        """
        for name, value in (("bound", bound), ("resolution", resolution)):
            if not (math.isfinite(value) and value > 0):
                raise SumError(f"a sum's {name} must be positive and finite", value=value)
        if isinstance(rows, bool) or not isinstance(rows, int) or rows < 1:
            raise SumError("a sum's number of rows must be a whole number from 1", value=rows)
        steps = Fraction(bound) * (1 + 2 * Fraction(SLACK)) / Fraction(resolution) + Fraction(1, 2)
        return cls((math.floor(rows * steps) + noise).bit_length() + 1)

    @property
    def modulus(self) -> int:
        """2^bits."""
        return 1 << self.bits

    @property
    def element_bytes(self) -> int:
        """Bytes that one element takes on the wire: bits / 8, rounded up."""
        return (self.bits + 7) // 8

    def encode(
        self, vector: NDArray[np.floating[Any]], resolution: float, *, limit: float | None = None
    ) -> NDArray[np.uint64]:
        """Write each element as the nearest multiple of ``resolution``, in two's complement; uint64 [n].

        ``limit``: most that an element may be in absolute value (rows of this contribution times the row bound); a
        rounding error of 2^-17 of it is let through.  Without a limit, half of the ring is the limit.

        Raises:
            SumError: an element is NaN, infinite or beyond the limit, or the vector is not one-dimensional.
        """
        if vector.ndim != 1 or not np.issubdtype(vector.dtype, np.floating):
            raise SumError("a contribution must be a vector of floats", value=(vector.shape, str(vector.dtype)))
        if not (math.isfinite(resolution) and resolution > 0):
            raise SumError("a sum's resolution must be positive and finite", value=resolution)
        low, high = (float(vector.min()), float(vector.max())) if vector.size else (0.0, 0.0)
        largest = max(-low, high)
        if not math.isfinite(largest):
            raise SumError("a contribution holds a number that is not finite", action="Mend the computation of it")
        if limit is not None and not largest <= limit * (1 + SLACK):
            raise SumError("a contribution's element is beyond its bound", action=f"Clip it to {limit:g} before")
        # Rounding keeps order, so the steps' extremes are the extremes' steps.
        if not all(-(self.modulus // 2) <= round(end / resolution) < self.modulus // 2 for end in (low, high)):
            raise SumError("a contribution's element does not fit the ring", action="Clip it, or widen the ring")
        elements = np.empty(len(vector), dtype=np.uint64)
        for start in range(0, len(vector), _CHUNK):
            steps = vector[start : start + _CHUNK] / np.float64(resolution)
            np.rint(steps, out=steps)
            np.bitwise_and(steps.astype(np.int64).view(np.uint64), self._mask, out=elements[start : start + _CHUNK])
        return elements

    def from_steps(self, steps: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Signed whole numbers as elements; uint64 [n]. Raises SumError for one that the ring cannot hold."""
        half = self.modulus // 2
        if steps.ndim != 1 or steps.dtype != np.int64:
            raise SumError("steps must be an int64 vector", value=(steps.shape, str(steps.dtype)))
        if steps.size and not (-half <= int(steps.min()) and int(steps.max()) < half):
            raise SumError("a contribution's element does not fit the ring", action="Clip it, or widen the ring")
        return np.bitwise_and(steps.view(np.uint64), self._mask)

    def reduce(self, steps: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Signed whole numbers modulo 2^bits, whatever their size; uint64 [n]."""
        return np.bitwise_and(steps.view(np.uint64), self._mask)

    def add(
        self, a: NDArray[np.uint64], b: NDArray[np.uint64], *, out: NDArray[np.uint64] | None = None
    ) -> NDArray[np.uint64]:
        """The sum modulo 2^bits of two vectors of ring elements; ``out=a`` adds in place.

        Raises:
            SumError: the lengths or types differ.
        """
        if a.shape != b.shape or a.dtype != np.uint64 or b.dtype != np.uint64:
            raise SumError("two vectors do not add", value=((a.shape, str(a.dtype)), (b.shape, str(b.dtype))))
        total = np.add(a, b, out=out)
        return np.bitwise_and(total, self._mask, out=total)

    def steps(self, total: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The signed whole numbers that elements stand for; int64 [n]. Raises SumError on an element >= 2^bits."""
        self._check(total)
        shift = np.int64(64 - self.bits)
        # Shifting the ring's sign bit to the word's and back copies it over the bits above.
        return (total << np.uint64(64 - self.bits)).view(np.int64) >> shift

    def decode(self, total: NDArray[np.uint64], resolution: float) -> NDArray[np.float64]:
        """The real numbers that elements stand for: `steps` times the resolution; float64 [n].

        Exact where steps times the resolution's significant bits are below 2^53 in absolute value.
        Raises SumError on an element >= 2^bits.
        """
        return self.steps(total).astype(np.float64) * resolution

    def pack(self, elements: NDArray[np.uint64]) -> bytes:
        """The wire form: `element_bytes` little-endian bytes an element. Raises SumError on an element >= 2^bits."""
        self._check(elements)
        raw = np.ascontiguousarray(elements, dtype="<u8").view(np.uint8).reshape(-1, 8)
        return raw[:, : self.element_bytes].tobytes()

    def unpack(self, data: bytes, n: int) -> NDArray[np.uint64]:
        """Read `pack`'s form back; uint64 [n].

        Raises:
            SumError: the data is not exactly n elements long, or an element is not below the modulus.
        """
        if n < 0 or len(data) != n * self.element_bytes:
            wanted = f"{n} elements of {self.element_bytes} bytes"
            raise SumError(f"a packed vector must be {wanted}", value=f"{len(data)} bytes")
        raw = np.zeros((n, 8), dtype=np.uint8)
        raw[:, : self.element_bytes] = np.frombuffer(data, dtype=np.uint8).reshape(n, self.element_bytes)
        elements = raw.view("<u8").reshape(n).astype(np.uint64, copy=False)
        self._check(elements)
        return elements

    @property
    def _mask(self) -> np.uint64:
        return np.uint64(self.modulus - 1)

    def _check(self, elements: NDArray[np.uint64]) -> None:
        if elements.ndim != 1 or elements.dtype != np.uint64:
            raise SumError("ring elements must be a uint64 vector", value=(elements.shape, str(elements.dtype)))
        if elements.size and int(elements.max()) >= self.modulus:
            raise SumError(f"an element is not below the modulus 2^{self.bits}", value=int(elements.max()))


def resolution_for(bound: float, bits: int) -> float:
    """The largest power of two that is at most ``bound`` / 2^bits.

    A power of two makes `Ring.decode`, and adding noise that is a multiple of it, exact in floating point.

    Raises:
        SumError: the bound is not positive and finite, or the resolution would be too small to be a normal number.
    """
    if not (math.isfinite(bound) and bound > 0):
        raise SumError("a sum's bound must be positive and finite", value=bound)
    exponent = math.frexp(bound)[1] - 1 - bits
    if exponent < -900:
        raise SumError("a sum's resolution would be too small", value=f"2^{exponent}")
    return math.ldexp(1.0, exponent)
