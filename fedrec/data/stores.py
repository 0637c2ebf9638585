"""Turning a data set into simulated devices: one event store file a user."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fedrec.data.schema import Dataset, Event, Note, Photo
from fedrec.data.splits import Split
from fedrec.data.store import EventStore
from fedrec.errors import DataError, StoreError

Progress = Callable[[int, int, str], None]
# Writing a small store is mostly waiting for the disk to confirm, which threads can do side by side.
WRITERS = 4


def slices_of(users: int, slices: int = 0) -> list[range]:
    """The places of the users of each store: of one user each, or of so many slices, of equal size up to one user.

    Raises:
        StoreError: there are fewer users than slices.
    """
    if slices > users:
        raise StoreError("every slice of a population holds a user", value=slices, action="Have fewer slices")
    if not slices:
        return [range(place, place + 1) for place in range(users)]
    return [range(users * at // slices, users * (at + 1) // slices) for at in range(slices)]


def write_stores(
    dataset: Dataset, split: Split, directory: Path, *, slices: int = 0, progress: Progress | None = None
) -> list[Path]:
    """Write ``00000.sqlite``, ``00001.sqlite``, ... in the order of ``dataset.users``; returns their paths.

    A store holds the training events of its users and those rated too low to be one (with time and rating), notes,
    photos and held-out items; a user without events gets a store without events. Each store is written in one
    transaction. ``slices``: so many stores, see `slices_of`; 0 = one a user. ``directory`` is made where it is missing.
    ``progress(done, total, what)`` is called after each store.

    Raises:
        StoreError: the directory already holds stores, or cannot be written; or there are more slices than users.
        DataError: a photo's file cannot be read.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        taken = next(directory.glob("*.sqlite"), None)
    except OSError as error:
        raise StoreError(f"the directory cannot be made: {error.strerror}", value=str(directory)) from None
    if taken is not None:
        raise StoreError(
            "the directory already holds stores", value=str(taken), action="Empty it, or choose another directory"
        )
    parts = slices_of(len(dataset.users), slices)
    paths = [directory / f"{place:05d}.sqlite" for place in range(len(parts))]

    def write(place: int) -> None:
        with EventStore.create(paths[place], device_name=paths[place].stem) as store, store.transaction():
            for user in parts[place]:
                _fill(store, dataset.users[user], user, dataset, split)

    with ThreadPoolExecutor(WRITERS) as pool:
        for done, _ in enumerate(pool.map(write, range(len(paths))), start=1):
            if progress is not None:
                progress(done, len(paths), "stores")
    return paths


def _fill(store: EventStore, user: str, place: int, dataset: Dataset, split: Split) -> None:
    store.add_user(user)
    store.add_events(user, training_events(dataset, split, place))
    for text in dataset.notes.get(place, ()):
        store.add_note(user, Note(text))
    for file in dataset.photos.get(place, ()):
        try:
            data = file.read_bytes()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", path=file) from None
        store.add_photo(user, Photo(file.name, data))
    valid, test = int(split.valid[place]), int(split.test[place])
    if valid >= 0 or test >= 0:
        ids = [dataset.items[item].id if item >= 0 else None for item in (valid, test)]
        store.set_held_out(user, ids[0], ids[1])


def training_events(dataset: Dataset, split: Split, user: int) -> list[Event]:
    """A user's training items, and those that the user rated too low for that, as events in time order: with the time
    and rating of the rows they come from."""
    table = dataset.interactions
    start, stop = split.training.indptr[user : user + 2]
    first, last = np.searchsorted(table.user[split.rated], [user, user + 1])
    rows = np.union1d(split.rows[start:stop], split.rated[first:last])
    cells = zip(table.item[rows].tolist(), table.timestamp[rows].tolist(), table.rating[rows].tolist(), strict=True)
    return [
        Event(dataset.items[item].id, time if time >= 0 else None, None if np.isnan(rating) else rating)
        for item, time, rating in cells
    ]
