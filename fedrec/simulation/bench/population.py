"""Where a simulated population lies, and how long it takes to open it and fetch a cohort: Parquet beside SQLite.

Five places for the same users. ``parquet``: `PopulationFile`, which reads the row groups that the cohort is in.
``memory``: all row groups read into flat arrays once, as `fedrec simulate` does (``parquet-all`` is that reading), and
the cohort taken from them. ``sqlite``: one file, clustered by user, a query a user. ``stores``: a device's event store
a user, of the cohort's users only, since a million files are no way to keep a simulation. The bound of a cohort is
``memory``: the copying of its events and nothing else.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.data.population_file import FILE, PopulationFile
from fedrec.data.population_writer import GROUP, PopulationWriter
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.data.user_rows import UserRows, joined
from fedrec.simulation.bench.measuring import Machine, in_turn
from fedrec.users import pointers_of

ITEMS: Final = 10_000
EVENTS: Final = 17
"""Events of a user on average, as in the shop."""


def run_population(users: int, cohort: int, seconds: float) -> dict[str, Any]:
    """Write a population of random events, and measure opening it and fetching a random cohort, place by place.

    Args:
        users: of the population, at least 1.
        cohort: users that are fetched, at most ``users``.
        seconds: how long to measure, in all.

    Returns:
        Of each place the seconds (``median``, ``fastest``, ``slowest``), the ratio to ``memory``, and bytes on disk.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    rows = population(users)
    places = np.random.default_rng(1).choice(users, min(cohort, users), replace=False)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        write_parquet(directory, rows)
        write_sqlite(directory / "events.sqlite", rows)
        write_stores(directory / "stores", rows, places)
        contenders: dict[str, Callable[[], object]] = {
            "memory": lambda: rows.take(places),
            "parquet": lambda: PopulationFile(directory / FILE, ITEMS).take(places),
            "parquet-all": lambda: joined(list(PopulationFile(directory / FILE, ITEMS))),
            "sqlite": lambda: from_sqlite(directory / "events.sqlite", places),
            "stores": lambda: from_stores(directory / "stores", places),
        }
        timings = in_turn(contenders, seconds)
        sizes = {"parquet": FILE, "parquet-all": FILE, "sqlite": "events.sqlite"}
        bytes_ = {name: (directory / file).stat().st_size for name, file in sizes.items()}
        bytes_["stores"] = sum(file.stat().st_size for file in (directory / "stores").iterdir())
    found = {
        name: {**timing.facts(), "times_memory": timing.ratio_to(timings["memory"]), "bytes": bytes_.get(name)}
        for name, timing in timings.items()
    }
    return {
        "users": users,
        "cohort": len(places),
        "events": len(rows.items),
        **found,
        "machine": Machine.here().facts(),
    }


def population(users: int) -> UserRows:
    """Users with about `EVENTS` events each, over `ITEMS` items, rising in time."""
    rng = np.random.default_rng(0)
    indptr = pointers_of(rng.integers(EVENTS // 2, EVENTS + EVENTS // 2 + 1, users))
    events = int(indptr[-1])
    return UserRows(
        names=[f"u{place}" for place in range(users)],
        indptr=indptr,
        items=rng.integers(0, ITEMS, events, dtype=np.int32),
        times=np.cumsum(rng.integers(1, 1_000, events)),
    )


def write_parquet(directory: Path, rows: UserRows) -> None:
    """One population.parquet."""
    with PopulationWriter(directory, items=ITEMS) as writer:
        for start in range(0, len(rows), GROUP):
            writer.write(rows.take(np.arange(start, min(start + GROUP, len(rows)))))


def write_sqlite(path: Path, rows: UserRows) -> None:
    """One SQLite file of all events, clustered by user."""
    owners = np.repeat(np.arange(len(rows)), np.diff(rows.indptr)).tolist()
    times = [] if rows.times is None else rows.times.tolist()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE event (user INTEGER, time INTEGER, item INTEGER, PRIMARY KEY (user, time)) WITHOUT ROWID"
        )
        events = zip(owners, times, rows.items.tolist(), strict=True)
        connection.executemany("INSERT INTO event VALUES (?, ?, ?)", events)


def write_stores(directory: Path, rows: UserRows, places: NDArray[np.integer]) -> None:
    """An event store for each user of the cohort."""
    directory.mkdir()
    for place in places.tolist():
        items = rows.items[rows.indptr[place] : rows.indptr[place + 1]].tolist()
        with EventStore.create(directory / f"{place}.sqlite") as store, store.transaction():
            store.add_user(rows.names[place])
            store.add_events(rows.names[place], [Event(str(item), time) for time, item in enumerate(items)])


def from_sqlite(path: Path, places: NDArray[np.integer]) -> list[NDArray[np.int32]]:
    """The items of each user of the cohort, a query a user."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT item FROM event WHERE user = ? ORDER BY time"
        found = (connection.execute(query, (place,)).fetchall() for place in places.tolist())
        return [np.array([item for (item,) in one], dtype=np.int32) for one in found]


def from_stores(directory: Path, places: NDArray[np.integer]) -> list[NDArray[np.int32]]:
    """The items of each user of the cohort, a file a user."""
    found = []
    for place in places.tolist():
        with EventStore.open(directory / f"{place}.sqlite", check=False) as store:
            items = [int(event.item) for user in store.users() for event in store.events(user)]
        found.append(np.array(items, dtype=np.int32))
    return found
