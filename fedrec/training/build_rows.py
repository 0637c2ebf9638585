"""From a population to rows: what is learned from (positives), with what (history), against what (the pool)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.model.clock import mean_clock
from fedrec.model.rows import ItemBatch, Rows
from fedrec.randomness import prf_uint64
from fedrec.training.augment import Augment
from fedrec.training.tables import Tables, own_batch
from fedrec.users import UserBatch

Number = TypeVar("Number", np.int32, np.int64)
_ORDERED_BATCHES = 128  # whose events are ordered at once: memory does not grow with the population


@dataclass(frozen=True)
class RowShape:
    """How large a row is: at most ``positives`` and ``history`` events of a user, and whether it has private pieces."""

    positives: int
    history: int
    notes: bool = False
    photos: bool = False


def build_rows(
    population: UserBatch,
    tables: Tables,
    pool: NDArray[np.int32],
    shape: RowShape,
    *,
    key: bytes,
    batch_rows: int,
    inclusion: NDArray[np.float32] | None = None,
    augment: Augment | None = None,
) -> Iterator[Rows]:
    """Rows of all users that have an event, in batches, each with as many columns as its longest row needs.

    A user's events are put in an order that depends on (key, user, item) only, so one user gives the same row alone
    on a phone and among thousands in a study.  The first min(positives, max(1, n // 2)) are positives, the next ones
    the history, so a positive is never in its own history, which is put back in time order.  A negative of the pool is
    masked where the user has it in training; nothing else is looked at, in particular not what was held out.
    ``inclusion``: float32 [pool], the logarithm of each negative's chance to be in the pool, where the loss wants it.
    ``augment``: how the features of a row's items are changed in this round.
    """
    with_events = np.flatnonzero(population.histories.lengths > 0)
    batches = range(0, len(with_events), batch_rows)
    for some in range(0, len(batches), _ORDERED_BATCHES):
        starts = batches[some : some + _ORDERED_BATCHES]
        part = population.take(with_events[starts[0] : starts[-1] + batch_rows])
        yield from _in_order(part, tables, pool, shape, key, batch_rows, inclusion, augment)


def _in_order(
    population: UserBatch,
    tables: Tables,
    pool: NDArray[np.int32],
    shape: RowShape,
    key: bytes,
    batch_rows: int,
    inclusion: NDArray[np.float32] | None,
    augment: Augment | None,
) -> Iterator[Rows]:
    """The rows of users that all have an event, whose events are ordered together."""
    counts = population.histories.lengths
    learned = np.minimum(shape.positives, np.maximum(1, counts // 2))
    kept = np.minimum(shape.history, counts - learned)
    places = _shuffled(population, key, learned, kept)
    order = population.histories.items[places]
    times = None if population.times is None else population.times[places]
    for start in range(0, len(population), batch_rows):
        users = np.arange(start, min(start + batch_rows, len(population)))
        first = population.histories.indptr[users]
        positives, p_mask = _spread(order, first, learned[users])
        history, h_mask = _spread(order, first + learned[users], kept[users])
        rows = _batch(population.take(users), tables, pool, shape, (positives, p_mask), (history, h_mask))
        if augment is not None:
            candidates = np.concatenate([positives, np.broadcast_to(pool, (len(users), len(pool)))], axis=1)
            rows = _augmented(rows, augment, population.sampling_keys[users], history, candidates)
        if times is not None:
            of_positives = _spread(times, first, learned[users])
            of_history = _spread(times, first + learned[users], kept[users])
            seen = np.concatenate([mean_clock(*of_positives), mean_clock(*of_history)], axis=1)
            rows = replace(rows, context=torch.from_numpy(seen))
        yield rows if inclusion is None else replace(rows, log_inclusion=_of_candidates(inclusion, rows))


def _batch(
    users: UserBatch,
    tables: Tables,
    pool: NDArray[np.int32],
    shape: RowShape,
    positives: tuple[NDArray[np.int32], NDArray[np.bool_]],
    history: tuple[NDArray[np.int32], NDArray[np.bool_]],
) -> Rows:
    against = ~_touched(users, pool)
    candidates = np.concatenate([positives[0], np.broadcast_to(pool, against.shape)], axis=1)
    mask = np.concatenate([positives[1], against], axis=1)
    read = np.concatenate([positives[1], np.ones_like(against)], axis=1)
    batch = tables.batch(candidates, read, shared=len(pool))
    return Rows(
        history=tables.batch(*history),
        notes=own_batch(users.notes, "text") if shape.notes and users.notes is not None else None,
        photos=own_batch(users.photos, "image") if shape.photos and users.photos is not None else None,
        candidates=batch,
        positives=positives[0].shape[1],
        candidate_mask=batch.mask.new_tensor(mask),
    )


def _touched(users: UserBatch, pool: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Which of the pool each user has, bool [users, pool]; by a search, so that no array is users x items."""
    order = np.argsort(pool, kind="stable")
    ordered = pool[order]
    items = users.histories.items
    first, last = np.searchsorted(ordered, items, "left"), np.searchsorted(ordered, items, "right")
    found = np.zeros((len(users), len(pool)), dtype=np.bool_)
    owners = users.histories.owners
    while (there := first < last).any():  # once, unless the pool has an item twice
        found[owners[there], order[first[there]]] = True
        first = first + 1
    return found


def _augmented(
    rows: Rows, augment: Augment, names: NDArray[np.uint64], history: NDArray[np.int32], candidates: NDArray[np.int32]
) -> Rows:
    """The rows with all features changed; ``names``: of the rows, the rest are places of their items."""

    def own(part: ItemBatch | None, kind: str) -> ItemBatch | None:
        return None if part is None else augment.batch(part, names, np.arange(part.items), kind)

    return replace(
        rows,
        history=augment.batch(rows.history, names, history),
        candidates=augment.batch(rows.candidates, names, candidates),
        notes=own(rows.notes, "notes"),
        photos=own(rows.photos, "photos"),
    )


def _of_candidates(inclusion: NDArray[np.float32], rows: Rows) -> Tensor:
    """[rows, candidates]: 0 for positives, which are there for certain, and what is known of the pool."""
    row = torch.cat([torch.zeros(rows.positives), torch.from_numpy(inclusion)])
    return row.expand(rows.rows, -1)


def _shuffled(
    population: UserBatch, key: bytes, learned: NDArray[np.int64], kept: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Places of every user's events in a keyed order, still grouped by user; of the history back in time order."""
    owners = population.histories.owners
    drawn = prf_uint64(key, population.sampling_keys[owners], population.histories.items.astype(np.uint64))
    order = _by_owner(owners, drawn)
    rank = np.arange(len(order)) - population.histories.indptr[owners]
    history = (rank >= learned[owners]) & (rank < (learned + kept)[owners])
    # Places of events are in time order within a user, so sorting a user's run of them is.
    order[history] = np.sort(order[history])
    return order


def _by_owner(owners: NDArray[np.int64], drawn: NDArray[np.uint64]) -> NDArray[np.int64]:
    """``np.lexsort((drawn, owners))`` of owners that never fall, by one sort of whole numbers, which is much faster."""
    bits = np.uint64(int(owners[-1]).bit_length() if len(owners) else 0)
    # The owner, and as many of the first bits of what was drawn as there is room for.
    named = (owners.astype(np.uint64) << (np.uint64(64) - bits) if bits else np.uint64(0)) | (drawn >> bits)
    order = np.argsort(named)
    if len(order) and not (np.diff(named[order]) > 0).all():  # two that the first bits do not tell apart
        return np.lexsort((drawn, owners))
    return order


def _spread(
    values: NDArray[Number], first: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[Number], NDArray[np.bool_]]:
    """Runs ``values[first:first + count]`` as padded rows [users, longest (at least 1)] and their mask."""
    column = np.arange(max(1, int(counts.max(initial=0))))
    mask = column[None, :] < counts[:, None]
    places = np.where(mask, first[:, None] + column[None, :], 0)
    return values[places], mask
