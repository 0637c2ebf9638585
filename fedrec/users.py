"""Users' data as flat arrays: one shape for a phone's user, a silo, a simulated cohort, and one call of a scorer.

A batch holds places in a catalogue, never ids, and nothing that was held out is among what may be learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

_Values = TypeVar("_Values", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Histories:
    """The items that each user touched, in time order. User u has ``items[indptr[u]:indptr[u + 1]]``.

    Args:
        indptr: int64 [users + 1], from 0, never falling, to ``len(items)``.
        items: int [n], places in the catalogue.

    Raises:
        ModelError: the pointers do not fit the items, or an item's place is negative.
    """

    indptr: NDArray[np.int64]
    items: NDArray[np.int32]

    def __post_init__(self) -> None:
        _check_pointers(self.indptr, len(self.items))
        if len(self.items) and self.items.min() < 0:
            raise ModelError("a history holds a negative place", value=int(self.items.min()))

    @classmethod
    def of(cls, lists: Sequence[NDArray[np.integer] | Sequence[int]]) -> Histories:
        """Join one list of places per user."""
        arrays = [np.asarray(one, dtype=np.int64).reshape(-1) for one in lists]
        items = np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
        return cls(indptr=pointers_of([len(one) for one in arrays]), items=items.astype(np.int32))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, user: int) -> NDArray[np.int32]:
        """Return one user's items in time order, as a view."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each user: int64 [users]."""
        return np.diff(self.indptr)

    @property
    def owners(self) -> NDArray[np.int64]:
        """The place of the user of every entry of ``items``: int64 [n]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, users: NDArray[np.integer]) -> Histories:
        """Return the histories of some users, in the order given."""
        indptr, chosen = _taken(self.indptr, users)
        return Histories(indptr=indptr, items=self.items[chosen])

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """Return the same users with those events only where ``kept``, bool [n]; a user may be left without any."""
        counts = np.bincount(self.owners[kept], minlength=len(self))
        return Histories(indptr=pointers_of(counts), items=self.items[kept])

    def ages(self) -> NDArray[np.int64]:
        """Count how many events of the same user came after each entry of ``items``: int64 [n], 0 for the newest."""
        return np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(len(self.items))

    def last(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the last ``count`` items of each user as a padded table [users, at most count] (1 column at least),
        with a mask that is False on padding. Padding holds place 0."""
        lengths = np.minimum(self.lengths, count)
        mask = _mask(lengths)
        table = np.zeros(mask.shape, dtype=np.int64)
        table[mask] = self.items[_runs(self.indptr[1:] - lengths, lengths)[1]]
        return table, mask

    def check(self, items: int) -> None:
        """Raise ModelError where a place lies beyond a catalogue of ``items``."""
        if len(self.items) and self.items.max() >= items:
            raise ModelError(
                f"a history names an item beyond the {items} of the catalogue",
                value=int(self.items.max()),
                action="Read events with the catalogue that the features, or the release, were built from",
            )


@dataclass(frozen=True, eq=False)
class OwnContent:
    """Encoded content of each user's own (notes, or photos). User u has ``values[indptr[u]:indptr[u + 1]]``.

    Args:
        indptr: int64 [users + 1].
        values: [n, ...], each entry one encoded piece, as the modality's encoder gives it.

    Raises:
        ModelError: the pointers do not fit the values.
    """

    indptr: NDArray[np.int64]
    values: NDArray[np.generic]

    def __post_init__(self) -> None:
        _check_pointers(self.indptr, len(self.values))

    @classmethod
    def of(cls, lists: Sequence[NDArray[np.generic]]) -> OwnContent:
        """Join one array [pieces, ...] per user; there must be one user at least, to know the width."""
        if not lists:
            raise ModelError("contents of no user have no width", action="Give one array per user, or None for all")
        return cls(indptr=pointers_of([len(one) for one in lists]), values=np.concatenate(list(lists)))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def take(self, users: NDArray[np.integer]) -> OwnContent:
        """Return the contents of some users, in the order given."""
        indptr, chosen = _taken(self.indptr, users)
        return OwnContent(indptr=indptr, values=self.values[chosen])

    def padded(self, most: int | None = None) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Return the first ``most`` pieces of each user (None = all) as a table [users, longest (1 at least), ...],
        with a mask that is False on padding, where the values mean nothing."""
        counts = np.diff(self.indptr)
        mask = _mask(counts if most is None else np.minimum(counts, most))
        if not len(self.values):
            return np.zeros((*mask.shape, *self.values.shape[1:]), dtype=self.values.dtype), mask
        places = self.indptr[:-1, None] + np.arange(mask.shape[1])
        return self.values[np.minimum(places, len(self.values) - 1)], mask


@dataclass(frozen=True, eq=False)
class RatedItems:
    """The ratings of each user, each item once: of training items, and of what was rated too low to be one.

    Args:
        items: which items, in any order; places in the catalogue.
        values: float32 [n], the rating of each entry of ``items.items``, finite.

    Raises:
        ModelError: another number of ratings than of items.
    """

    items: Histories
    values: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.values.shape != self.items.items.shape:
            raise ModelError(f"there are {len(self.items.items)} rated items, and another number of ratings")

    def __len__(self) -> int:
        return len(self.items)

    def take(self, users: NDArray[np.integer]) -> RatedItems:
        """Return the ratings of some users, in the order given."""
        indptr, entries = _taken(self.items.indptr, users)
        return RatedItems(Histories(indptr=indptr, items=self.items.items[entries]), self.values[entries])

    def longer(self, by: int) -> RatedItems:
        """Return the same with so many users more at the end, who rated nothing."""
        ends = np.full(by, self.items.indptr[-1])
        return RatedItems(Histories(np.concatenate([self.items.indptr, ends]), self.items.items), self.values)

    def of(self, histories: Histories) -> NDArray[np.float64]:
        """Find the rating of each entry of ``histories``, of the same users: float64 [entries], NaN where there is
        none."""
        wide = 1 + max(int(self.items.items.max(initial=0)), int(histories.items.max(initial=0)))
        pairs = self.items.owners * wide + self.items.items
        order = np.argsort(pairs)
        wanted = histories.owners * wide + histories.items
        at = np.searchsorted(pairs, wanted, sorter=order)
        # One entry beyond the last stands for what is not there.
        places, known = np.append(order, -1)[at], np.append(pairs, -1)
        return np.where(known[places] == wanted, np.append(self.values.astype(np.float64), np.nan)[places], np.nan)


@dataclass(frozen=True, eq=False)
class UserBatch:
    """All that one device, or one simulation, knows of a block of users. What is not known or not needed is None.

    Args:
        histories: the items of each user; in training none twice and none that was held out.
        keys: uint64 [users], `user_hash` of each id: decides what a user samples. Training needs them.
        held_out: int32 [users], the item kept back to measure with, -1 = none; never in the user's history.
        notes: encoded notes (features of the modality ``text``).
        photos: encoded photos (modality ``image``).
        times: int64 [n], seconds since 1970, UTC, of each event of the histories, -1 = unknown.
        adapter: float32 [users, dimension], each user's private vector.
        context: float32 [users, 4], times of day of the request and the history (`fedrec.model.clock`).
        rated: what each user rated, where the settings use ratings.

    Raises:
        ModelError: parts about different numbers of users, or times of another number of events.
    """

    histories: Histories
    _: KW_ONLY
    keys: NDArray[np.uint64] | None = None
    held_out: NDArray[np.int32] | None = None
    notes: OwnContent | None = None
    photos: OwnContent | None = None
    times: NDArray[np.int64] | None = None
    adapter: NDArray[np.float32] | None = None
    context: NDArray[np.float32] | None = None
    rated: RatedItems | None = None

    def __post_init__(self) -> None:
        users = len(self.histories)
        for name in ("keys", "held_out", "notes", "photos", "adapter", "context", "rated"):
            part = getattr(self, name)
            if part is not None and len(part) != users:
                raise ModelError(f"histories are of {users} users, {name} of another number", value=len(part))
        if self.times is not None and len(self.times) != len(self.histories.items):
            raise ModelError(f"there are {len(self.histories.items)} events, and times of another number")

    def __len__(self) -> int:
        return len(self.histories)

    @property
    def sampling_keys(self) -> NDArray[np.uint64]:
        """The keys: uint64 [users]. Raises ModelError where the batch was made without."""
        if self.keys is None:
            raise ModelError("users without keys cannot be trained on", action="Give UserBatch keys_of(user ids)")
        return self.keys

    @property
    def targets(self) -> NDArray[np.int32]:
        """The held-out items: int32 [users], -1 where a user has none."""
        return np.full(len(self), -1, dtype=np.int32) if self.held_out is None else self.held_out

    def take(self, users: NDArray[np.integer]) -> UserBatch:
        """Return the same about some users, in the order given."""
        indptr, events = _taken(self.histories.indptr, users)
        return UserBatch(
            Histories(indptr=indptr, items=self.histories.items[events]),
            keys=_entries(self.keys, users),
            held_out=_entries(self.held_out, users),
            notes=None if self.notes is None else self.notes.take(users),
            photos=None if self.photos is None else self.photos.take(users),
            times=_entries(self.times, events),
            adapter=_entries(self.adapter, users),
            context=_entries(self.context, users),
            rated=None if self.rated is None else self.rated.take(users),
        )


def keys_of(users: Sequence[str]) -> NDArray[np.uint64]:
    """Hash each user's id with `user_hash`: uint64 [users]."""
    from fedrec.randomness import user_hash  # with ciphers, which ranking needs none of

    return np.fromiter((user_hash(user) for user in users), dtype=np.uint64, count=len(users))


def pointers_of(lengths: Sequence[int] | NDArray[np.integer]) -> NDArray[np.int64]:
    """Return where runs of these lengths begin and end, one after the other: int64 [runs + 1], from 0."""
    pointers = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=pointers[1:])
    return pointers


def _entries(values: NDArray[_Values] | None, places: NDArray[np.integer]) -> NDArray[_Values] | None:
    return None if values is None else values[places]


def _mask(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which entries of a table [users, longest (1 at least)] there are, of so many a user."""
    return np.arange(max(int(counts.max(initial=0)), 1)) < counts[:, None]


def _taken(indptr: NDArray[np.int64], users: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pointers and entries of some users' runs."""
    return _runs(indptr[:-1][users], np.diff(indptr)[users])


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pointers and entries of the runs ``starts[i] ... starts[i] + lengths[i] - 1``, one after the other."""
    pointers = pointers_of(lengths)
    entries = np.arange(pointers[-1]) + np.repeat(starts - pointers[:-1], lengths)
    return pointers, entries


def _check_pointers(indptr: NDArray[np.int64], entries: int) -> None:
    rising = indptr.ndim == 1 and len(indptr) > 0 and indptr[0] == 0 and not np.any(np.diff(indptr) < 0)
    if not rising or indptr[-1] != entries:
        raise ModelError(
            f"pointers must rise from 0 to the {entries} entries that they cut into users",
            value=indptr[:8].tolist(),
            action="Give indptr [users + 1] as in a compressed sparse row matrix",
        )
