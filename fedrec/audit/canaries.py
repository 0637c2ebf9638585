"""Canaries: rows that an auditor adds to a run, each in or out by a secret fair coin.

A canary is as strong as one row may be: in every sum its part is at the bound and as far from other canaries' parts as
the sum's length allows (at right angles where there is room).  In a sum of histories it is a row with one or two items,
or, where short histories count less (``collaborative.short_history_weighting``), with as many as count fully.  A canary
that is one interaction is then the last that counts: with the same base, which all canaries have in any case, and an
item of its own.  In sums of outer products (``directions``, ``factors``) a row is at the bound whatever its history; in
a model update it is a row whose raw gradient is many times the clip, in a direction of its own.  The sign of that
direction alternates from round to round: what a mechanism fails to draw anew each round cancels then, and a canary
hardly moves the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.config import Unit
from fedrec.errors import PrivacyError
from fedrec.randomness import key as derive_key
from fedrec.randomness import prf_uint64, user_hash

LEAST, MOST = 16, 20_000
# Elements that a canary's direction is spread over, where there is room: a step then turns no single parameter far.
_WIDTH = 16


@dataclass(frozen=True, eq=False)
class Canaries:
    """The canaries of one run.

    ``keys``: uint64 [m], distinct.  ``included``: bool [m], the coins.  ``histories``: int32 [m, width], items' places,
    which a canary has if its coin says so.  ``base``: int32, the items that every canary has besides, whatever its
    coin says, none of them in a history.  ``secret``: 32 bytes that directions are drawn from; the auditor knows it, as
    the worst adversary would.
    """

    keys: NDArray[np.uint64]
    included: NDArray[np.bool_]
    histories: NDArray[np.int32]
    secret: bytes
    base: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    _directions: dict[int, sparse.csr_matrix] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def draw(cls, count: int, catalogue: int, seed: int, *, full_length: int = 0, unit: Unit = "user") -> Canaries:
        """``count`` canaries for a catalogue of so many items. The seed fixes coins and all: for simulations.

        ``full_length``: the items from which on a history counts fully (``collaborative.short_history_weighting``).
        ``unit``: what a canary is.

        Raises:
            PrivacyError: the count is outside 16 to 20,000, or the catalogue is smaller than 2 or ``full_length``.
        """
        if not LEAST <= count <= MOST:
            raise PrivacyError(f"canaries must be {LEAST} to {MOST:,}", value=count)
        if catalogue < 2:
            raise PrivacyError("canaries need a catalogue of at least 2 items", value=catalogue)
        places = np.arange(count, dtype=np.uint64)
        coins = prf_uint64(derive_key(seed, "audit", "coins"), places, np.zeros_like(places)) >> np.uint64(63)
        if full_length > catalogue:
            raise PrivacyError(
                "collaborative.short_history_weighting is above the number of items", value=(full_length, catalogue)
            )
        histories, base = _histories(count, catalogue, full_length, unit, derive_key(seed, "audit", "histories"))
        keys = np.array([user_hash(f"fedrec canary {place}") for place in range(count)], dtype=np.uint64)
        return cls(keys, coins == 1, histories, derive_key(seed, "audit", "directions"), base)

    def directions(self, length: int) -> sparse.csr_matrix:
        """A unit vector for each canary, the same in every round: sparse float64 [m, length].

        They share no element while ``m <= length``; beyond that they come in sets that share none.
        """
        if length not in self._directions:
            self._directions[length] = self._drawn_directions(length)
        return self._directions[length]

    def _drawn_directions(self, length: int) -> sparse.csr_matrix:
        width = max(1, min(_WIDTH, length // len(self)))
        columns = spread(len(self), length, width, self.secret)
        rows = np.repeat(np.arange(len(self)), width)
        signing = derive_key(int.from_bytes(self.secret, "little"), "signs")
        drawn = prf_uint64(signing, rows.astype(np.uint64), columns.ravel().astype(np.uint64))
        values = (1.0 - 2.0 * (drawn >> np.uint64(63))) / np.sqrt(width)
        return sparse.csr_matrix((values, (rows, columns.ravel())), (len(self), length))

    def signs(self, round_number: int) -> NDArray[np.float64]:
        """+1 or -1 for each canary, turned over each round; half of the canaries begin with either."""
        return np.where((np.arange(len(self)) + round_number) % 2, -1.0, 1.0)


def _histories(
    count: int, catalogue: int, full_length: int, unit: Unit, secret: bytes
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Each canary's secret items, and those that all have."""
    if unit == "example" and full_length > 1:
        order = spread(1, catalogue, catalogue, secret)[0].astype(np.int32)
        base, own = order[: full_length - 1], order[full_length - 1 :]
        return own[spread(count, len(own), 1, secret)], base
    width = max(full_length, 1 if count <= catalogue else 2)
    return spread(count, catalogue, width, secret).astype(np.int32), np.zeros(0, np.int32)


def spread(count: int, length: int, width: int, secret: bytes) -> NDArray[np.int64]:
    """``width`` distinct places out of ``length`` for each of ``count``: no place twice while they last, then anew."""
    if not 1 <= width <= length:
        raise PrivacyError("a vector is too short for canaries", value=(length, width))
    each = length // width
    places = np.arange(length, dtype=np.uint64)
    laps = [
        np.argsort(prf_uint64(secret, places, np.full_like(places, lap)), kind="stable")[: each * width]
        for lap in range(-(-count // each))
    ]
    return np.concatenate(laps).reshape(-1, width)[:count].astype(np.int64)
