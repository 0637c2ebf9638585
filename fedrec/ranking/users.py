"""What is known of a block of users, as flat arrays: the items that each touched, and content of each user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError


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
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in arrays], dtype=np.int64)])
        items = np.concatenate([np.zeros(0, dtype=np.int64), *arrays])
        return cls(indptr=indptr.astype(np.int64), items=items.astype(np.int32))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each user: int64 [users]."""
        return np.diff(self.indptr)

    def take(self, places: NDArray[np.integer]) -> Histories:
        """The histories of some users, in the order asked for."""
        indptr, chosen = _taken(self.indptr, places)
        return Histories(indptr=indptr, items=self.items[chosen])

    def rows(self) -> NDArray[np.int64]:
        """The user of every entry of ``items``: int64 [n]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def ages(self) -> NDArray[np.int64]:
        """How many events of the same user came after each entry of ``items``: int64 [n], 0 for the newest."""
        return np.repeat(self.indptr[1:], self.lengths) - 1 - np.arange(len(self.items))

    def last(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The last ``count`` items of each user as a padded table [users, at most count] (1 column at least), with a
        mask that is False on padding. Padding holds place 0."""
        indptr, chosen = _last(self.indptr, count)
        return _padded(indptr, self.items[chosen].astype(np.int64))

    def check(self, items: int) -> None:
        """Raise ModelError where a place lies beyond a catalogue of ``items``."""
        if len(self.items) and self.items.max() >= items:
            raise ModelError(
                f"a history names an item beyond the {items} of the catalogue",
                value=int(self.items.max()),
                action="Use places of the same catalogue as the release's",
            )


@dataclass(frozen=True, eq=False)
class OwnContent:
    """Encoded content of each user's own (notes or photos). User u has ``values[indptr[u]:indptr[u + 1]]``.

    Args:
        indptr: int64 [users + 1].
        values: [n, ...], each entry one encoded piece.
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
        indptr = np.concatenate([[0], np.cumsum([len(one) for one in lists], dtype=np.int64)])
        return cls(indptr=indptr.astype(np.int64), values=np.concatenate(list(lists)))

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def take(self, places: NDArray[np.integer]) -> OwnContent:
        """The contents of some users, in the order asked for."""
        indptr, chosen = _taken(self.indptr, places)
        return OwnContent(indptr=indptr, values=self.values[chosen])

    def padded(self) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """The pieces as a table [users, most pieces (1 at least), ...] with a mask that is False on padding."""
        places, mask = _padded(self.indptr, np.arange(len(self.values)))
        if not len(self.values):
            return np.zeros((*mask.shape, *self.values.shape[1:]), dtype=self.values.dtype), mask
        return self.values[places], mask


@dataclass(frozen=True, eq=False)
class Known:
    """All that is known of a block of users, for one call of a scorer.

    Args:
        histories: the items of each user.
        notes: encoded notes (features of the modality ``text``), or None.
        photos: encoded photos (modality ``image``), or None.
        adapter: float32 [users, dimension], each user's private vector, or None.
        context: float32 [users, 4], times of day of the request and the history (`fedrec.model.clock`), or None.

    Raises:
        ModelError: parts about different numbers of users.
    """

    histories: Histories
    notes: OwnContent | None = None
    photos: OwnContent | None = None
    adapter: NDArray[np.float32] | None = None
    context: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        users = len(self.histories)
        for name in ("notes", "photos", "adapter", "context"):
            part = getattr(self, name)
            if part is not None and len(part) != users:
                raise ModelError(f"histories are of {users} users, {name} of another number", value=len(part))

    def __len__(self) -> int:
        return len(self.histories)

    def take(self, places: NDArray[np.integer]) -> Known:
        """The same about some users, in the order asked for."""
        return Known(
            histories=self.histories.take(places),
            notes=None if self.notes is None else self.notes.take(places),
            photos=None if self.photos is None else self.photos.take(places),
            adapter=None if self.adapter is None else self.adapter[places],
            context=None if self.context is None else self.context[places],
        )


def _padded(indptr: NDArray[np.int64], values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    lengths = np.diff(indptr)
    mask = np.arange(max(int(lengths.max(initial=0)), 1)) < lengths[:, None]
    table = np.zeros(mask.shape, dtype=np.int64)
    table[mask] = values
    return table, mask


def _taken(indptr: NDArray[np.int64], places: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.diff(indptr)[places]
    return _runs(indptr[:-1][places], lengths)


def _last(indptr: NDArray[np.int64], count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    lengths = np.minimum(np.diff(indptr), count)
    return _runs(indptr[1:] - lengths, lengths)


def _runs(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pointers and entries of the runs ``starts[i] ... starts[i] + lengths[i] - 1``, one after the other."""
    pointers = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=pointers[1:])
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
