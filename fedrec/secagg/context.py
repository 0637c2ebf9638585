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

import numpy as np

from fedrec.errors import SumError
from fedrec.secagg import codec
from fedrec.secagg.ring import Ring

DIGEST_BYTES = 32
SEED_BYTES = 32
LONGEST = 1 << 28


@dataclass(frozen=True)
class Agreed:
    """What a device knows and accepts before it takes part.

    Args:
        run: the run's name, 1 to 255 bytes of UTF-8, never used for another run.
        round: number of the sum within the run, 0 to 2^32 - 1; each is answered once.
        request: SHA-256 of all that the devices were asked: model, settings, catalogue.
        roster: `Roster.digest`.
        length: elements of the vector, 1 to 2^28.
        bound: most that one row adds to an element, in absolute value, rounding included.
        resolution: the grid's step.
        rows: the most rows that may be in the whole sum.
        bits: the ring's width, at least what `Ring.for_sum` asks for: so no sum can overflow.
        seed: 32 public bytes that nobody chose, drawn after the roster was signed: they decide who neighbours whom.
        attempt: 0 to 255, counted up when a round failed and is asked again.
        eligible: the devices that the sum is asked of, as ascending places in the roster, at least 2 and known before
            the server says anything; `None`: those that the server shows, whoever they are, as where a sample is the
            server's secret.

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
    seed: bytes
    attempt: int = 0
    eligible: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.run.encode("utf-8", "surrogatepass")) <= 255:
            raise SumError("a run's name has 1 to 255 bytes", value=self.run)
        if not 0 <= self.round < 1 << 32 or not 0 <= self.attempt < 1 << 8:
            raise SumError("a round's number or attempt is out of range", value=(self.round, self.attempt))
        if len(self.request) != DIGEST_BYTES or len(self.roster) != DIGEST_BYTES:
            raise SumError("request and roster are named by their SHA-256")
        if len(self.seed) != SEED_BYTES:
            raise SumError(f"a public seed has {SEED_BYTES} bytes", value=f"{len(self.seed)} bytes")
        self._check_eligible()
        if not 1 <= self.length <= LONGEST:
            raise SumError("a private sum's length is out of range", value=self.length)
        self._check_ring()

    def _check_ring(self) -> None:
        needed = Ring.for_sum(self.bound, self.resolution, self.rows)
        if Ring(self.bits).bits < needed.bits:
            action = f"Use at least {needed.bits} bits, or fewer rows"
            raise SumError("the ring is so narrow that the sum could overflow", value=self.bits, action=action)

    def _check_eligible(self) -> None:
        if self.eligible is None:
            return
        places = np.array(self.eligible, dtype=np.int64)
        if len(places) < 2 or places[0] < 0 or places[-1] >= 1 << 20 or not (np.diff(places) > 0).all():
            raise SumError("a sum is asked of at least two places of the roster, in ascending order", value=len(places))

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
        seed: bytes,
        attempt: int = 0,
        eligible: tuple[int, ...] | None = None,
    ) -> Agreed:
        """With the narrowest ring that cannot overflow. Raises SumError as the class does."""
        bits = Ring.for_sum(bound, resolution, rows).bits
        return cls(run, round, request, roster, length, bound, resolution, rows, bits, seed, attempt, eligible)

    @property
    def ring(self) -> Ring:
        """The ring that elements are of."""
        return Ring(self.bits)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all fields and the protocol's version, 32 bytes."""
        numbers = struct.pack(">IBQddQB", self.round, self.attempt, self.length, *self._grid, self.rows, self.bits)
        run = self.run.encode("utf-8", "surrogatepass")
        asked = b"" if self.eligible is None else codec.write_bitmap(self.eligible, self.eligible[-1] + 1)
        named = self.request, self.roster, self.seed
        return _hash(b"agreed", codec.prefixed(run, 1), numbers, *named, codec.prefixed(asked, 4))

    @cached_property
    def ring_key(self) -> bytes:
        """32 public bytes that order the devices of this round (see `assignment`).

        They depend on nothing that a server says: not on the run's name, the attempt, or who is there.
        """
        return _hash(b"ring", self.seed, self.roster, codec.number(self.round, 4))

    @property
    def _grid(self) -> tuple[float, float]:
        return self.bound, self.resolution


def cohort_context(agreed: bytes, members: Collection[int], size: int, degree: int, threshold: int) -> bytes:
    """The context once keys are advertised: what was agreed, who of the eligible is there, and the parameters."""
    parameters = codec.number(degree, 4) + codec.number(threshold, 4)
    return _hash(b"cohort", agreed, parameters, codec.write_bitmap(members, size))


def view_context(cohort: bytes, members: Collection[int], size: int) -> bytes:
    """The context once secrets are shared: the cohort's, and who of it goes on to send a vector."""
    return _hash(b"view", cohort, codec.write_bitmap(members, size))


def survivors_digest(survivors: Collection[int], size: int) -> bytes:
    """What the committee signs, beside the view, of a list of survivors."""
    return _hash(b"survivors", codec.write_bitmap(survivors, size))


def _hash(label: bytes, *parts: bytes) -> bytes:
    digest = hashlib.sha256(b"fedrec secagg" + bytes((codec.VERSION, len(label))) + label)
    for part in parts:
        digest.update(part)
    return digest.digest()
