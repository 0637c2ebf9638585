"""The users of one device, or of a whole simulated cohort, as columns: one form for a phone, a silo and a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import DataError
from fedrec.randomness import prf_uint64, user_hash


@dataclass(frozen=True, eq=False)
class Pieces:
    """Encoded private pieces (notes, or photos) of each user: rows of user u are ``indptr[u]:indptr[u + 1]``.

    ``values``: [pieces, ...] as the modality's encoder gives them.
    """

    indptr: NDArray[np.int64]
    values: NDArray[np.generic]

    def select(self, users: NDArray[np.int64]) -> Pieces:
        """The pieces of some users, in the order given."""
        indptr, places = _gather(self.indptr, users)
        return Pieces(indptr, self.values[places])


@dataclass(frozen=True, eq=False)
class Population:
    """What training code may see of some users: places of items, never ids, and no item that was held out.

    ``keys``: uint64 [U], `user_hash` of each id, seeds what a user samples.  ``indptr`` int64 [U + 1] and ``items``
    int32 [n]: catalogue places of each user's training events, in time order, none twice.  ``held_out``: int32 [U],
    the item a device keeps back to measure with, -1 = none; never among ``items``.  ``times``: int64 [n], seconds
    since 1970, UTC, of each event, -1 = unknown; None where nobody asks for them.
    """

    keys: NDArray[np.uint64]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    held_out: NDArray[np.int32]
    notes: Pieces | None = None
    photos: Pieces | None = None
    times: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Events of each user, [U]."""
        return np.diff(self.indptr)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The place of the user of each event, [n]."""
        return np.repeat(np.arange(len(self)), self.counts)

    def select(self, users: NDArray[np.int64]) -> Population:
        """Some users, in the order given."""
        indptr, places = _gather(self.indptr, users)
        return Population(
            self.keys[users],
            indptr,
            self.items[places],
            self.held_out[users],
            None if self.notes is None else self.notes.select(users),
            None if self.photos is None else self.photos.select(users),
            None if self.times is None else self.times[places],
        )

    def history(self, user: int) -> NDArray[np.int32]:
        """One user's training items, in time order."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]


def keys_of(users: Sequence[str]) -> NDArray[np.uint64]:
    """`user_hash` of each id."""
    return np.fromiter((user_hash(user) for user in users), dtype=np.uint64, count=len(users))


def check(population: Population, catalogue: int) -> None:
    """Hold a population to the catalogue. Raises DataError where an item's place is not in it."""
    places = population.items
    if len(places) and (places.min() < 0 or places.max() >= catalogue):
        raise DataError(
            "an event's item is not in the catalogue",
            path="population",
            value=int(places.max()),
            action="Read events with the catalogue that the features were built from",
        )


def by_example(population: Population, groups: int, key: bytes) -> Population:
    """Split each user into ``groups`` pseudo-users, so that a row holds few interactions and each is in one row only.

    An interaction's group is a keyed hash of (user, item) alone: adding or removing an interaction changes no other
    one's group, so it changes exactly one row.  This is what makes ``unit = "example"`` mean one interaction.  Notes
    and photos are not interactions and stay out.
    """
    owners = population.owners
    hashed = prf_uint64(key, population.keys[owners], population.items.astype(np.uint64))
    group = owners * groups + (hashed % np.uint64(groups)).astype(np.int64)
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group, minlength=len(population) * groups)
    number = np.tile(np.arange(groups, dtype=np.uint64), len(population))
    return replace(
        population,
        keys=prf_uint64(key, np.repeat(population.keys, groups), number),
        indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        items=population.items[order],
        held_out=np.full(len(population) * groups, -1, np.int32),
        notes=None,
        photos=None,
        times=None if population.times is None else population.times[order],
    )


def _gather(indptr: NDArray[np.int64], users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    counts = np.diff(indptr)[users]
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.repeat(indptr[users] - ends[:-1], counts) + np.arange(ends[-1])
    return ends, places
