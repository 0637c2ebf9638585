"""Neighbouring inputs, and the search for a pair that moves a contribution far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.study import Study
from fedrec.users import Histories, OwnContent, RatedItems, UserBatch, keys_of

Encode = Callable[[UserBatch], NDArray[np.float64]]
_LENGTHS = (0, 1, 1, 2, 3, 5, 10, 40, 149)


@dataclass(frozen=True)
class Neighbours:
    """Pairs of batches that differ in one privacy unit, a user or an interaction, which is replaced by nothing."""

    study: Study
    unit: str

    def draw(self, rng: np.random.Generator) -> tuple[UserBatch, UserBatch]:
        """A pair drawn at random: one to three users, of histories short and long."""
        items = len(self.study.features)
        lists = []
        for _ in range(int(rng.integers(1, 4))):
            most = int(rng.choice(_LENGTHS))
            pool = items if rng.random() < 0.5 else min(items, most + 3)
            lists.append(rng.permutation(pool)[:most])
        return self.pair(lists, rng)

    def pair(self, lists: list[NDArray[np.int64]], rng: np.random.Generator) -> tuple[UserBatch, UserBatch]:
        """Users with these histories, and the same without one unit of the first of them that has any."""
        items = len(self.study.features)
        if not any(len(one) for one in lists):
            lists[0] = rng.permutation(items)[:1]
        place = next(at for at, one in enumerate(lists) if len(one))
        held = np.full(len(lists), -1, np.int32)
        for at, one in enumerate(lists):
            free = np.setdiff1d(np.arange(items), one)
            if len(free):
                held[at] = free[int(rng.integers(len(free)))]
        keys = keys_of([f"neighbour {at}" for at in range(len(lists))])
        whole = UserBatch(Histories.of(lists), keys=keys, held_out=held, rated=ratings_of(lists, items))
        left = list(lists)
        left[place] = (
            lists[place][:0] if self.unit == "user" else np.delete(lists[place], rng.integers(len(lists[place])))
        )
        others = held.copy()
        others[place] = -1 if self.unit == "user" else held[place]
        rated = ratings_of(left, items)
        return whole, UserBatch(Histories.of(left), keys=keys, held_out=others, rated=rated)

    def changed(self, batch: UserBatch, rng: np.random.Generator) -> tuple[UserBatch, UserBatch]:
        """A pair near to one that was found: an item more, an item less, or another one left out."""
        lists = [np.asarray(batch.histories[user], dtype=np.int64) for user in range(len(batch))]
        at, items = int(rng.integers(len(lists))), len(self.study.features)
        if rng.random() < 0.5 and len(lists[at]) > 1:
            lists[at] = np.delete(lists[at], rng.integers(len(lists[at])))
        else:
            free = np.setdiff1d(np.arange(items), lists[at])
            lists[at] = np.append(lists[at], free[int(rng.integers(len(free)))]) if len(free) else lists[at]
        return self.pair(lists, rng)


def ratings_of(lists: list[NDArray[np.int64]], catalogue: int) -> RatedItems:
    """Ratings of these users: those of a user at one place for one item are always the same. Some are wild."""
    rng = np.random.default_rng(9)
    table = rng.choice([1.0, 1.0, 2.0, 3.5, 4.0, 5.0, 5.0, -3e38, 3e38], (len(lists), catalogue)).astype(np.float32)
    values = [table[user, one] for user, one in enumerate(lists)]
    return RatedItems(Histories.of(lists), np.concatenate(values))


def worst_ratio(neighbours: Neighbours, encode: Encode, draws: int) -> float:
    """The largest L2 distance found between the contributions of neighbours: a random search, then uphill."""
    rng, worst, at = np.random.default_rng(5), 0.0, None
    for number in range(draws):
        climbing = at is not None and number % 2
        pair = neighbours.changed(at, rng) if climbing and at is not None else neighbours.draw(rng)
        moved = float(np.linalg.norm(encode(pair[0]) - encode(pair[1])))
        if moved > worst:
            worst, at = moved, pair[0]
    return worst


def hostile_batches(study: Study) -> Iterator[UserBatch]:
    """Users as no honest person is: no history, everything, one item, many users at once, wild content."""
    items = len(study.features)
    everything = np.arange(items)
    keys = keys_of(["hostile"])
    held = np.array([items - 1], np.int32)
    lists = [[everything[:0]], [everything], [everything[:-1]], [everything[:1]]]
    for at, one in enumerate(lists):
        left = held if at >= 2 else np.array([-1], np.int32)
        yield UserBatch(Histories.of(one), keys=keys, held_out=left, rated=ratings_of(one, items))
    many = [everything[at:] for at in range(16)]
    yield UserBatch(
        Histories.of(many),
        keys=keys_of([f"hostile {at}" for at in range(16)]),
        held_out=np.full(16, -1, np.int32),
        rated=ratings_of(many, items),
    )
    own = study.population.notes
    if own is not None:
        wild = OwnContent.of([np.full((40, *own.values.shape[1:]), 1e4, own.values.dtype)])
        yield replace(UserBatch(Histories.of([everything[:5]]), keys=keys, held_out=held), notes=wild)
