"""The one door: everything that leaves a device leaves as its share of a private sum.

A private sum is a vector of agreed length to which every row adds a part of bounded L2 norm.  Parts may be rotated, so
that no element is large; they are rounded to a grid without bias, written as integers of a ring that cannot overflow,
and added modulo the ring's size, which is what secure aggregation needs to mask them.  The server opens the sum, in
whole steps of the grid; noise in whole steps is added to it before it is turned back and anything is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import PrivacyError, SumError
from fedrec.privacy.mechanism import check_resolution, grid_sensitivity
from fedrec.randomness import KEY_BYTES, fresh_key
from fedrec.secagg import bits
from fedrec.secagg.ring import Ring, resolution_for
from fedrec.secagg.rotation import rotate, spread_bound, unrotate
from fedrec.secagg.rounding import ring_for, rotated_resolution, stochastic_steps

# A bound is met if it is met up to float32 rounding of the vector that was clipped.
_SLACK: Final = 1e-5
# The grid of a sum that is not rotated, in binary digits below what a row adds to an element. Most such rows are zero
# in most elements, and zero is never rounded: with n elements each, N rows are off by sqrt(N n / 6) steps.
_DIGITS: Final = 13


@dataclass(frozen=True)
class PrivateSum:
    """What is agreed about a sum before anybody adds to it.

    Args:
        name: the query it belongs to.
        length: number of elements, at least 1.
        bound: largest L2 norm of one row's part.
        resolution: the grid's step: a whole number below 256 times a power of two.
        rows: the most rows that may be in the whole sum; fixes the ring, so that overflow is impossible.
        limit: most that one row adds to an element (after rotation), in absolute value; 0 = as the bound.
        rotation: seed of the rotation, 64 hexadecimal digits, or nothing where parts are not rotated.

    Raises:
        SumError: a field is out of range.
    """

    name: str
    length: int
    bound: float
    resolution: float
    rows: int
    limit: float = 0.0
    rotation: str = ""

    def __post_init__(self) -> None:
        if self.length < 1 or self.rows < 1:
            raise SumError(f"sum {self.name!r} needs a length and rows of at least 1", value=(self.length, self.rows))
        if not 0 <= self.limit <= self.bound < math.inf or not 0 < self.resolution <= self.element_bound:
            raise SumError(
                f"sum {self.name!r} needs 0 < resolution <= limit <= bound",
                value=(self.resolution, self.limit, self.bound),
                action="Raise the bound or secure_aggregation.resolution_bits",
            )
        try:
            check_resolution(self.resolution)
        except PrivacyError as error:
            raise SumError(error.what, value=error.value) from None
        if self.rotation and len(self._seed) != KEY_BYTES:
            raise SumError(f"sum {self.name!r} has a rotation that is no seed", value=self.rotation)

    @classmethod
    def of(
        cls, name: str, length: int, bound: float, rows: int, *, resolution_bits: int | None = None, limit: float = 0.0
    ) -> PrivateSum:
        """A sum that is not rotated, on a grid ``resolution_bits`` (or 13) binary digits below what a row adds."""
        digits = _DIGITS if resolution_bits is None else resolution_bits
        return cls(name, length, bound, resolution_for(limit or bound, digits), rows, limit)

    @classmethod
    def rotated(
        cls,
        name: str,
        length: int,
        bound: float,
        rows: int,
        *,
        seed: bytes,
        expected: int,
        resolution_bits: int | None = None,
    ) -> PrivateSum:
        """A rotated sum, on a grid that makes it accurate to 1e-3 with few bits: see `rotated_resolution`.

        ``expected``: rows that are expected in it.  ``resolution_bits``, where given, sets the grid as in `of`.
        """
        limit = spread_bound(bound, length)
        if resolution_bits is None:
            resolution = rotated_resolution(bound, length, rows, expected)
        else:
            resolution = resolution_for(limit, resolution_bits)
        return cls(name, length, bound, resolution, rows, limit, seed.hex())

    @property
    def element_bound(self) -> float:
        """Most that one row adds to an element, before rounding."""
        return self.limit or self.bound

    @cached_property
    def ring(self) -> Ring:
        """The smallest ring in which ``rows`` parts, each within the bounds, cannot overflow."""
        return ring_for(self.element_bound, self.resolution, self.rows)

    @cached_property
    def sensitivity(self) -> float:
        """L2 distance by which one row can move the sum *after rounding*; what noise is scaled to."""
        return grid_sensitivity(self.bound, self.resolution, self.length)

    @property
    def bytes_up(self) -> int:
        """Size in bytes of one encoded contribution: whole bits an element."""
        return bits.packed_bytes(self.length, self.ring.bits)

    def encode(self, vector: NDArray[np.float64], rows: int = 1, *, key: bytes | None = None) -> bytes:
        """Write a contribution of ``rows`` rows for the wire; ``key`` as of `elements`.

        Raises:
            SumError: wrong length, a value that is not finite, more rows than agreed, or a norm beyond the bound.
        """
        return bits.pack(self.elements(vector, rows, key=key), self.ring.bits)

    def elements(self, vector: NDArray[np.float64], rows: int = 1, *, key: bytes | None = None) -> NDArray[np.uint64]:
        """A contribution of ``rows`` rows as ring elements, which masks are added to. Raises SumError as `encode`.

        Rotated elements are clipped to ``rows`` times the limit.  So the number of rows is taken as fixed: a row that
        a device holds with others is protected as one that is *replaced by nothing*.

        ``key``: 32 bytes that decide the rounding, used for this contribution only; fresh where not given.
        """
        part = self._checked(vector, rows)
        if self.rotation:
            part = rotate(part, self._seed)
        most = self.element_bound * rows
        np.clip(part, -most, most, out=part)
        return self.ring.from_steps(stochastic_steps(part, self.resolution, fresh_key() if key is None else key))

    def add(self, total: NDArray[np.uint64] | None, share: bytes) -> NDArray[np.uint64]:
        """Add an encoded contribution to a running total (None = nothing yet). Raises SumError on a malformed one."""
        part = bits.unpack(share, self.length, self.ring.bits).astype(np.uint64, copy=False)
        return part if total is None else self.ring.add(total, part)

    def open(self, total: NDArray[np.uint64] | None) -> NDArray[np.float64]:
        """The running total on the grid, still rotated: what noise is added to. The sum over nobody is zero."""
        if total is None:
            return np.zeros(self.length)
        return self.ring.decode(total, self.resolution)

    def read(self, opened: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum itself, out of what `open` gave and noise may have been added to; float64 [length].

        Turning it back is orthogonal, and independent Gaussian noise of one size stays so.
        """
        return unrotate(opened, self._seed) if self.rotation else opened

    @property
    def _seed(self) -> bytes:
        try:
            return bytes.fromhex(self.rotation)
        except (ValueError, TypeError):
            return b""

    def _checked(self, vector: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
        """A copy, with a norm and elements that are within the bounds to the last digit."""
        if vector.shape != (self.length,):
            raise SumError(f"contribution to {self.name!r} has the wrong shape", value=vector.shape)
        if not 1 <= rows <= self.rows:
            raise SumError(f"contribution to {self.name!r} holds more rows than agreed", value=rows)
        norm, bound = float(np.linalg.norm(vector)), self.bound * rows
        if not norm <= bound * (1 + _SLACK):  # also catches NaN
            raise SumError(
                f"contribution to {self.name!r} is beyond its bound {bound:g}",
                value=norm,
                action="Clip each row before it is added",
            )
        if not self.rotation and self.limit and float(np.abs(vector).max()) > self.limit * rows * (1 + _SLACK):
            raise SumError(f"contribution to {self.name!r} has an element beyond its limit {self.limit * rows:g}")
        return vector * (bound / norm) if norm > bound else np.array(vector, dtype=np.float64)
