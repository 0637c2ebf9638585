"""From a device's store to what training code may see: places of items, and encoded private pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedrec.data.ratings import PositiveRatings, is_positive
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.model.clock import UNKNOWN
from fedrec.users import Histories, RatedItems, UserBatch, keys_of

if TYPE_CHECKING:
    from fedrec.content.own_content import StoredContentEncoder


@dataclass(frozen=True, eq=False)
class LoadedPopulation:
    """All users of a device as a batch. ``unknown``: events left out because the catalogue lacks their item."""

    population: UserBatch
    unknown: int


def load_population(
    store: EventStore,
    index: Mapping[str, int],
    *,
    notes: StoredContentEncoder | None = None,
    photos: StoredContentEncoder | None = None,
    times: bool = False,
    positive_ratings: PositiveRatings = "all",
    ratings: bool = False,
) -> LoadedPopulation:
    """Read a store against a catalogue.

    Args:
        store: the device's.
        index: item id -> place in the catalogue.
        notes: what encodes notes, None where the model does not read any.
        photos: what encodes photos, likewise.
        times: whether the model reads when events were.
        positive_ratings: which events are positive; the others are no history (`fedrec.data.ratings`).
        ratings: whether the settings use ratings.

    An item that was met twice counts once, when it was first met; one that is held out is in no training event.
    Encoded notes and photos are kept in the store, so that each is encoded once.

    Raises:
        StoreError: the store cannot be read.
    """
    users = store.users()
    histories: list[list[int]] = []
    held_out: list[int] = []
    met_at: list[int] = []
    rated: list[dict[int, float]] = []
    unknown = 0
    for user in users:
        valid, test = store.held_out(user)
        events = [event for event in store.events(user) if event.item not in (valid, test)]
        first = first_met(positive_of(events, positive_ratings), index)
        histories.append(list(first))
        met_at += first.values()
        held_out.append(-1 if valid is None else index.get(valid, -1))
        unknown += sum(event.item not in index for event in events)
        rated.append(ratings_of(events, index) if ratings else {})

    def texts(user: str) -> list[str]:
        return [note.text for note in store.notes(user)]

    def pictures(user: str) -> list[bytes]:
        return [photo.data for photo in store.photos(user)]

    population = UserBatch(
        Histories.of(histories),
        keys=keys_of(users),
        held_out=np.array(held_out, dtype=np.int32),
        notes=None if notes is None else notes.encode(store, users, "notes", texts),
        photos=None if photos is None else photos.encode(store, users, "photos", pictures),
        times=np.array(met_at, dtype=np.int64) if times else None,
        rated=rated_items(rated) if ratings else None,
    )
    return LoadedPopulation(population, unknown)


def first_met(events: Sequence[Event], index: Mapping[str, int]) -> dict[int, int]:
    """Map the place of each known item to when it was first met (seconds since 1970, `UNKNOWN` where nobody says), in
    order."""
    found: dict[int, int] = {}
    for event in events:
        if event.item in index:
            found.setdefault(index[event.item], UNKNOWN if event.timestamp is None else event.timestamp)
    return found


def positive_of(events: Sequence[Event], rule: PositiveRatings) -> list[Event]:
    """The events that are positive, in order; ``rule``: ``data.positive_ratings``."""
    ratings = np.array([np.nan if event.rating is None else event.rating for event in events], dtype=np.float64)
    return [event for event, positive in zip(events, is_positive(ratings, rule), strict=True) if positive]


def ratings_of(events: Sequence[Event], index: Mapping[str, int]) -> dict[int, float]:
    """Map the place of each known item that was rated to its first rating."""
    found: dict[int, float] = {}
    for event in events:
        if event.item in index and event.rating is not None:
            found.setdefault(index[event.item], event.rating)
    return found


def rated_items(rated: Sequence[Mapping[int, float]]) -> RatedItems:
    """Join what `ratings_of` gave of each user. A rating beyond what float32 holds is the largest that it does."""
    largest = float(np.finfo(np.float32).max)
    values = [np.clip(value, -largest, largest) for one in rated for value in one.values()]
    return RatedItems(Histories.of([list(one) for one in rated]), np.array(values, dtype=np.float32))
