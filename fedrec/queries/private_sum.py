"""The one door: everything that leaves a device leaves as its share of a private sum.

A private sum is a vector of agreed length to which every row adds a part of bounded L2 norm.  Parts may be rotated, so
that no element is large; they are rounded to a grid without bias, written as integers of a ring that cannot overflow,
and added modulo the ring's size, which is what secure aggregation needs to mask them.  The server opens the sum, in
whole steps of the grid; noise in whole steps is added to it before it is turned back and anything is made of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import PrivacyError, SumError
from fedrec.privacy.discrete import sum_of_shares
from fedrec.privacy.distributed import ROOM, NoiseShares
from fedrec.privacy.mechanism import check_resolution, grid_sensitivity
from fedrec.randomness import KEY_BYTES, fresh_key, keystream
from fedrec.secagg import bits
from fedrec.secagg.ring import Ring, resolution_for
from fedrec.secagg.rotation import rotate, spread_bound, unrotate
from fedrec.secagg.rounding import noisy_resolution, ring_for, rotated_resolution, short_below, stochastic_steps

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
        moves: most by which one privacy unit moves a row's part, L2; 0 = the bound, as where the row is the unit.
        noise, devices, dropout, colluding: how devices share the noise, see `NoiseShares`; all 0 = they add none.

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
    moves: float = 0.0
    noise: float = 0.0
    devices: int = 0
    dropout: float = 0.0
    colluding: float = 0.0

    def __post_init__(self) -> None:
        if self.length < 1 or self.rows < 1:
            raise SumError(f"sum {self.name!r} needs a length and rows of at least 1", value=(self.length, self.rows))
        if not 0 <= self.limit <= self.bound < math.inf or not 0 < self.resolution <= self.element_bound:
            raise SumError(
                f"sum {self.name!r} needs 0 < resolution <= limit <= bound",
                value=(self.resolution, self.limit, self.bound),
                action="Raise the bound or secure_aggregation.resolution_bits",
            )
        if not 0 <= self.moves <= 2 * self.bound:
            raise SumError(f"sum {self.name!r}: nothing can move a row by more than twice its bound", value=self.moves)
        try:
            check_resolution(self.resolution)
            if self.shares is not None:
                self.shares.deviation(self.sensitivity / self.resolution)
        except PrivacyError as error:
            raise SumError(error.what, value=error.value, action=error.action) from None
        if self.rotation and len(self._seed) != KEY_BYTES:
            raise SumError(f"sum {self.name!r} has a rotation that is no seed", value=self.rotation)

    @classmethod
    def of(
        cls,
        name: str,
        length: int,
        bound: float,
        rows: int,
        *,
        resolution_bits: int | None = None,
        limit: float = 0.0,
        moves: float = 0.0,
    ) -> PrivateSum:
        """A sum that is not rotated, on a grid ``resolution_bits`` (or 13) binary digits below what a row adds."""
        digits = _DIGITS if resolution_bits is None else resolution_bits
        return cls(name, length, bound, resolution_for(limit or bound, digits), rows, limit, moves=moves)

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

    def noisy(self, shares: NoiseShares, *, fixed_grid: bool = False) -> PrivateSum:
        """The same sum with noise that devices add; on a grid as coarse as that allows, unless ``fixed_grid``.

        Raises:
            SumError: a device's share of the noise would be less than 3 steps of a fixed grid.
        """
        resolution = self.resolution
        if not fixed_grid:
            # A share has four steps at least, in cohorts however large.
            moves = self.moves or self.bound
            fourth = shares.noise_multiplier * moves / math.sqrt(shares.honest) / 4
            resolution = min(noisy_resolution(moves, self.length), short_below(min(fourth, self.element_bound)))
        return replace(
            self,
            resolution=resolution,
            noise=shares.noise_multiplier,
            devices=shares.devices,
            dropout=shares.dropout,
            colluding=shares.colluding,
        )

    @cached_property
    def shares(self) -> NoiseShares | None:
        """How the noise is shared, where devices add it. Raises PrivacyError on numbers that make no sense."""
        if not (self.noise or self.devices):
            return None
        return NoiseShares(self.noise, self.devices, self.dropout, self.colluding)

    @property
    def survivors(self) -> int:
        """The fewest devices in the sum that its noise is enough for; 0 where devices add none."""
        return self.shares.survivors if self.shares else 0

    @property
    def honest_noise(self) -> float:
        """The noise multiplier of the Gaussian mechanism that the fewest honest shares in the sum give; 0 without."""
        if self.shares is None:
            return 0.0
        return self.shares.multiplier(self._share, self.shares.honest, self.sensitivity / self.resolution)

    def deviation(self, devices: int) -> float:
        """Of the noise that ``devices`` devices add to an element, in the sum's own unit."""
        return math.sqrt(devices) * self._share * self.resolution

    @cached_property
    def _share(self) -> float:
        """Parameter of one device's noise, in steps; 0 for none."""
        return self.shares.deviation(self.sensitivity / self.resolution) if self.shares else 0.0

    @property
    def element_bound(self) -> float:
        """Most that one row adds to an element, before rounding."""
        return self.limit or self.bound

    @cached_property
    def ring(self) -> Ring:
        """The smallest ring in which ``rows`` parts, each within the bounds, cannot overflow.

        With noise, it has room for 13 deviations of all of it, beyond which an element is with probability 2^-125.
        """
        noise = math.ceil(ROOM * math.sqrt(self.devices) * self._share)
        return ring_for(self.element_bound, self.resolution, self.rows, noise)

    @cached_property
    def sensitivity(self) -> float:
        """L2 distance by which one privacy unit can move the sum *after rounding*; what noise is scaled to."""
        return grid_sensitivity(self.moves or self.bound, self.resolution, self.length)

    @cached_property
    def _row(self) -> float:
        """Most that one row can be after rounding, L2."""
        return grid_sensitivity(self.bound, self.resolution, self.length)

    @property
    def bytes_up(self) -> int:
        """Size in bytes of one encoded contribution: whole bits an element."""
        return bits.packed_bytes(self.length, self.ring.bits)

    def encode(
        self, vector: NDArray[np.float64], rows: int = 1, *, key: bytes | None = None, devices: int = 1
    ) -> bytes:
        """Write a contribution of ``rows`` rows for the wire; ``key`` and ``devices`` as of `elements`.

        Raises:
            SumError: wrong length, a value that is not finite, more rows than agreed, or a norm beyond the bound.
        """
        return self.packed(self.elements(vector, rows, key=key, devices=devices))

    def elements(
        self, vector: NDArray[np.float64], rows: int = 1, *, key: bytes | None = None, devices: int = 1
    ) -> NDArray[np.uint64]:
        """A contribution of ``rows`` rows as ring elements, which masks are added to. Raises SumError as `encode`.

        ``key``: 32 bytes that decide rounding and noise, used for this contribution only; fresh where not given.
        ``devices``: whose noise is added, together: independent shares add up to one discrete Gaussian, but for a
        factor within 1e-20 of 1 (`fedrec.privacy.distributed`).
        """
        return self.written(self.part(vector, rows), key=key, devices=devices)

    def part(self, vector: NDArray[np.float64], rows: int = 1) -> NDArray[np.float64]:
        """What ``rows`` rows add, within their bounds and rotated; float64 [length]. Raises SumError as `encode`.

        Rotated elements are clipped to ``rows`` times the limit.  A clip at one level moves no two vectors further
        apart, so that a unit that is replaced by nothing moves the part by what it moved the vector, at most.  A level
        that follows what a device happens to hold does not: u + w clipped at two limits may lie 1.41 times the length
        of u from w clipped at one.  So ``rows`` is a number that no unit's data can change: the rows of one user, as
        the settings have them, or of a cohort whose size is public.  A device adds the parts of its users up.
        """
        part = self._checked(vector, rows)
        if self.rotation:
            part = rotate(part, self._seed)
        most = self.element_bound * rows
        np.clip(part, -most, most, out=part)
        return part

    def written(self, part: NDArray[np.float64], *, key: bytes | None = None, devices: int = 1) -> NDArray[np.uint64]:
        """A sum of parts as ring elements: rounded once, and with noise where devices add it; as `elements`."""
        rounding, noise = _two_keys(fresh_key() if key is None else key)
        steps = self.ring.from_steps(stochastic_steps(part, self.resolution, rounding))
        if not self._share:
            return steps
        return self.ring.add(steps, self.ring.reduce(sum_of_shares(noise, self._share, devices, self.length)))

    def packed(self, elements: NDArray[np.uint64]) -> bytes:
        """Ring elements for the wire."""
        return bits.pack(elements, self.ring.bits)

    def add(self, total: NDArray[np.uint64] | None, share: bytes, *, rows: int | None = None) -> NDArray[np.uint64]:
        """Add an encoded contribution to a running total (None = nothing yet).

        ``rows``: the most rows that it may hold; then a device that did not keep to the bound is found out.  Only a
        server that sees single contributions can do this: masked ones are any elements of the ring.

        Raises:
            SumError: it is malformed, or beyond the bound of so many rows.
        """
        part = bits.unpack(share, self.length, self.ring.bits).astype(np.uint64, copy=False)
        if rows is not None:
            self.check_sum(self.ring.decode(part, self.resolution), rows)
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

    def check_sum(self, vector: NDArray[np.float64], rows: int) -> None:
        """Hold an opened sum, without noise in it, to what ``rows`` rows that keep to the bound can add up to.

        Raises:
            SumError: its norm is beyond that, so some device broke its bound.
        """
        norm, most = float(np.linalg.norm(vector)), rows * self._row * (1 + _SLACK)
        if not norm <= most:
            raise SumError(
                f"what was opened for {self.name!r} is more than {rows:,} rows within their bound can add up to",
                value=norm,
                action="Some device sends more than was agreed: find out which devices to trust, and begin again",
            )

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


def _two_keys(key: bytes) -> tuple[bytes, bytes]:
    """Of the rounding and of the noise."""
    drawn = keystream(key, 2 * KEY_BYTES)
    return drawn[:KEY_BYTES], drawn[KEY_BYTES:]
