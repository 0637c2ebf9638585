"""What a round is about, as one hash that every key, box, signature and mask of it is bound to.

Devices that were shown different models, rosters, lengths, bounds, cohorts or lists of participants hold different
contexts: they refuse each other's keys, cannot open each other's boxes, and their masks do not cancel.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from fedrec.errors import SumError
from fedrec.secagg import codec
from fedrec.secagg.ring import Ring

DIGEST_BYTES = 32
LONGEST = 1 << 28


@dataclass(frozen=True)
class Agreed:
    """What a device knows and accepts before it takes part.

    Args:
        run: the run's name, 1 to 255 bytes of UTF-8, never used for another run.
        round: number of the sum within the run, 0 to 2^32 - 1; each is answered once.
        attempt: 0 to 255, counted up when a round failed and is asked again.
        request: SHA-256 of all that the devices were asked: model, settings, catalogue.
        roster: `Roster.digest`.
        length: elements of the vector, 1 to 2^28.
        bound: most that one row adds to an element, in absolute value, rounding included.
        resolution: the grid's step.
        rows: the most rows that may be in the whole sum.
        bits: the ring's width, at least what `Ring.for_sum` asks for: so no sum can overflow.

    Raises:
        SumError: a field is out of range, or the ring too narrow.
    """

    run: str
    round: int
    request: bytes
    roster: bytes
    length: int
    bound: float
    resolution: float
    rows: int
    bits: int
    attempt: int = 0

    def __post_init__(self) -> None:
        if not 1 <= len(self.run.encode("utf-8", "surrogatepass")) <= 255:
            raise SumError("a run's name has 1 to 255 bytes", value=self.run)
        if not 0 <= self.round < 1 << 32 or not 0 <= self.attempt < 1 << 8:
            raise SumError("a round's number or attempt is out of range", value=(self.round, self.attempt))
        if len(self.request) != DIGEST_BYTES or len(self.roster) != DIGEST_BYTES:
            raise SumError("request and roster are named by their SHA-256")
        if not 1 <= self.length <= LONGEST:
            raise SumError("a private sum's length is out of range", value=self.length)
        self._check_ring()

    def _check_ring(self) -> None:
        needed = Ring.for_sum(self.bound, self.resolution, self.rows)
        if Ring(self.bits).bits < needed.bits:
            action = f"Use at least {needed.bits} bits, or fewer rows"
            raise SumError("the ring is so narrow that the sum could overflow", value=self.bits, action=action)

    @classmethod
    def of(
        cls,
        *,
        run: str,
        round: int,
        request: bytes,
        roster: bytes,
        length: int,
        bound: float,
        resolution: float,
        rows: int,
        attempt: int = 0,
    ) -> Agreed:
        """With the narrowest ring that cannot overflow. Raises SumError as the class does."""
        bits = Ring.for_sum(bound, resolution, rows).bits
        return cls(run, round, request, roster, length, bound, resolution, rows, bits, attempt)

    @property
    def ring(self) -> Ring:
        """The ring that elements are of."""
        return Ring(self.bits)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all fields and the protocol's version, 32 bytes."""
        numbers = struct.pack(">IBQddQB", self.round, self.attempt, self.length, *self._grid, self.rows, self.bits)
        run = self.run.encode("utf-8", "surrogatepass")
        return _hash(b"agreed", codec.prefixed(run, 1), numbers, self.request, self.roster)

    @property
    def _grid(self) -> tuple[float, float]:
        return self.bound, self.resolution


def cohort_context(
    agreed: bytes, members: Collection[int], places: int, root: bytes, degree: int, threshold: int
) -> bytes:
    """The context once keys are advertised: what was agreed, who takes part with which keys, and the parameters."""
    parameters = codec.number(degree, 4) + codec.number(threshold, 4)
    return _hash(b"cohort", agreed, parameters, root, codec.write_bitmap(members, places))


def view_context(cohort: bytes, sharers: Collection[int], size: int) -> bytes:
    """The context once secrets are shared: the cohort's, and who of it is still there."""
    return _hash(b"view", cohort, codec.write_bitmap(sharers, size))


def _hash(label: bytes, *parts: bytes) -> bytes:
    digest = hashlib.sha256(b"fedrec secagg" + bytes((codec.VERSION, len(label))) + label)
    for part in parts:
        digest.update(part)
    return digest.digest()
