"""Canaries: rows that an auditor adds to a run, each in or out by a secret fair coin.

A canary is as strong as one row may be: in every sum its part is at the bound and as far from other canaries' parts as
the sum's length allows (at right angles where there is room).  In a sum of histories it is a row with one or two items;
in a model update it is a row whose raw gradient is many times the clip, in a direction of its own.  The sign of that
direction alternates from round to round: what a mechanism fails to draw anew each round cancels then, and a canary
hardly moves the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.errors import PrivacyError
from fedrec.randomness import key as derive_key
from fedrec.randomness import prf_uint64, user_hash

LEAST, MOST = 16, 20_000
# Elements that a canary's direction is spread over, where there is room: a step then turns no single parameter far.
_WIDTH = 16


@dataclass(frozen=True, eq=False)
class Canaries:
    """The canaries of one run.

    ``keys``: uint64 [m], distinct.  ``included``: bool [m], the coins.  ``histories``: int32 [m, 1 or 2], items'
    places.  ``secret``: 32 bytes that directions are drawn from; the auditor knows it, as the worst adversary would.
    """

    keys: NDArray[np.uint64]
    included: NDArray[np.bool_]
    histories: NDArray[np.int32]
    secret: bytes
    _directions: dict[int, sparse.csr_matrix] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def draw(cls, count: int, catalogue: int, seed: int) -> Canaries:
        """``count`` canaries for a catalogue of so many items. The seed fixes coins and all: for simulations.

        Raises:
            PrivacyError: the count is outside 16 to 20,000, or the catalogue has fewer than 2 items.
        """
        if not LEAST <= count <= MOST:
            raise PrivacyError(f"canaries must be {LEAST} to {MOST:,}", value=count)
        if catalogue < 2:
            raise PrivacyError("canaries need a catalogue of at least 2 items", value=catalogue)
        places = np.arange(count, dtype=np.uint64)
        coins = prf_uint64(derive_key(seed, "audit", "coins"), places, np.zeros_like(places)) >> np.uint64(63)
        width = 1 if count <= catalogue else 2
        histories = spread(count, catalogue, width, derive_key(seed, "audit", "histories"))
        keys = np.array([user_hash(f"fedrec canary {place}") for place in range(count)], dtype=np.uint64)
        return cls(keys, coins == 1, histories.astype(np.int32), derive_key(seed, "audit", "directions"))

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
