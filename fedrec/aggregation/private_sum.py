"""The one door: everything that leaves a device leaves as its share of a private sum.

A private sum is a vector of agreed length to which every row adds a part of bounded L2 norm.  Parts are rounded to a
grid, written as integers of a ring that cannot overflow, and added modulo the ring's size, which is what secure
aggregation needs to mask them.  The server learns the sum, to which noise is added before anything is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.privacy.mechanism import grid_sensitivity
from fedrec.secagg.ring import Ring, resolution_for

# A bound is met if it is met up to float32 rounding of the vector that was clipped.
_SLACK = 1e-5


@dataclass(frozen=True)
class PrivateSum:
    """What is agreed about a sum before anybody adds to it.

    Args:
        name: the query it belongs to.
        length: number of elements, at least 1.
        bound: largest L2 norm of one row's part.
        resolution: the grid's step, a power of two; a part is rounded to the nearest multiple of it.
        rows: the most rows that may be in the whole sum; fixes the ring, so that overflow is impossible.

    Raises:
        SumError: a field is out of range.
    """

    name: str
    length: int
    bound: float
    resolution: float
    rows: int

    def __post_init__(self) -> None:
        if self.length < 1 or self.rows < 1:
            raise SumError(f"sum {self.name!r} needs a length and rows of at least 1", value=(self.length, self.rows))
        if not (0 < self.resolution <= self.bound < math.inf):
            raise SumError(
                f"sum {self.name!r} needs 0 < resolution <= bound",
                value=(self.resolution, self.bound),
                action="Raise the bound or secure_aggregation.resolution_bits",
            )

    @classmethod
    def of(cls, name: str, length: int, bound: float, rows: int, *, resolution_bits: int) -> PrivateSum:
        """A sum whose grid is the power of two that lies ``resolution_bits`` binary digits below the bound."""
        return cls(name, length, bound, resolution_for(bound, resolution_bits), rows)

    @cached_property
    def ring(self) -> Ring:
        """The smallest ring in which ``rows`` parts, each within the bound, cannot overflow."""
        return Ring.for_sum(self.bound, self.resolution, self.rows)

    @property
    def sensitivity(self) -> float:
        """L2 distance by which one row can move the sum *after rounding*; what noise is scaled to."""
        return grid_sensitivity(self.bound, self.resolution, self.length)

    @property
    def bytes_up(self) -> int:
        """Size in bytes of one encoded contribution."""
        return self.length * ((self.ring.bits + 7) // 8)

    def encode(self, vector: NDArray[np.float64], rows: int = 1) -> bytes:
        """Write a contribution of ``rows`` rows for the wire.

        Raises:
            SumError: wrong length, a value that is not finite, more rows than agreed, or a norm beyond the bound.
        """
        return self.ring.pack(self.elements(vector, rows))

    def elements(self, vector: NDArray[np.float64], rows: int = 1) -> NDArray[np.uint64]:
        """A contribution of ``rows`` rows as ring elements, which masks are added to. Raises SumError as `encode`."""
        self._check(vector, rows)
        return self.ring.encode(vector, self.resolution)

    def add(self, total: NDArray[np.uint64] | None, share: bytes, *, rows: int | None = None) -> NDArray[np.uint64]:
        """Add an encoded contribution to a running total (None = nothing yet).

        ``rows``: the most rows that it may hold; then a device that did not keep to the bound is found out.  Only a
        server that sees single contributions can do this: masked ones are any elements of the ring.

        Raises:
            SumError: it is malformed, or beyond the bound of so many rows.
        """
        part = self.ring.unpack(share, self.length)
        if rows is not None:
            self.check_sum(self.ring.decode(part, self.resolution), rows)
        return part if total is None else self.ring.add(total, part)

    def open(self, total: NDArray[np.uint64] | None) -> NDArray[np.float64]:
        """Read the running total as numbers; the sum over nobody is zero."""
        if total is None:
            return np.zeros(self.length)
        return self.ring.decode(total, self.resolution)

    def check_sum(self, vector: NDArray[np.float64], rows: int) -> None:
        """Hold an opened sum, without noise in it, to what ``rows`` rows that keep to the bound can add up to.

        Raises:
            SumError: its norm is beyond that, so some device broke its bound.
        """
        norm, most = float(np.linalg.norm(vector)), rows * self.sensitivity * (1 + _SLACK)
        if not norm <= most:
            raise SumError(
                f"what was opened for {self.name!r} is more than {rows:,} rows within their bound can add up to",
                value=norm,
                action="Some device sends more than was agreed: find out which devices to trust, and begin again",
            )

    def _check(self, vector: NDArray[np.float64], rows: int) -> None:
        if vector.shape != (self.length,):
            raise SumError(f"contribution to {self.name!r} has the wrong shape", value=vector.shape)
        if not 1 <= rows <= self.rows:
            raise SumError(f"contribution to {self.name!r} holds more rows than agreed", value=rows)
        norm = float(np.linalg.norm(vector))
        if not norm <= self.bound * rows * (1 + _SLACK):  # also catches NaN
            raise SumError(
                f"contribution to {self.name!r} is beyond its bound {self.bound * rows:g}",
                value=norm,
                action="Clip each row before it is added",
            )
