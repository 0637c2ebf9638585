"""Populations and catalogues in Parquet for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedrec.data.population_writer import PopulationWriter
from fedrec.data.user_rows import UserRows
from fedrec.users import pointers_of

ITEMS = 9


def write_items(directory: Path, **columns: Any) -> Path:
    """items.parquet of `ITEMS` items; ``columns`` replace or add columns, None takes one away."""
    table: dict[str, Any] = {
        "item": [f"i{place}" for place in range(ITEMS)],
        "title": [f"Item {place}" for place in range(ITEMS)],
        "text": ["red lamp", None, *["blue mug"] * (ITEMS - 2)],
        "genres": ["Home|Kids", "Home", None, *["Office"] * (ITEMS - 3)],
        "price": [1.5, None, *[2.0] * (ITEMS - 2)],
    }
    table |= columns
    path = directory / "items.parquet"
    pq.write_table(pa.table({name: column for name, column in table.items() if column is not None}), path)
    return path


def write_users(directory: Path, **columns: Any) -> Path:
    """population.parquet of three users; ``columns`` replace or add columns, None takes one away."""
    table: dict[str, Any] = {
        "user": ["a", "b", "c"],
        "items": [[0, 1, 2], [3], [4, 5]],
        "times": [[10, 20, 30], [5], [7, None]],
        "valid": pa.array([1, None, None], pa.int32()),
        "test": pa.array([2, 3, 5], pa.int32()),
        "negatives": [[6, 7], [8], [6, 7]],
    }
    table["times"] = [[10, 20, 30], [5], [None, 7]]
    table |= columns
    path = directory / "population.parquet"
    pq.write_table(pa.table({name: column for name, column in table.items() if column is not None}), path)
    return path


def rows_of(users: int, seed: int, *, ratings: bool = True) -> UserRows:
    """Users with 0 to 6 events each, over `ITEMS` items."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 7, users)
    indptr = pointers_of(counts)
    events = int(indptr[-1])
    times = np.concatenate([np.sort(rng.integers(0, 1_000, count)) for count in counts] or [np.zeros(0, np.int64)])
    test = np.where(counts > 0, rng.integers(0, ITEMS, users), -1).astype(np.int32)
    return UserRows(
        names=[f"u{place}" for place in range(users)],
        indptr=indptr,
        items=rng.integers(0, ITEMS, events).astype(np.int32),
        times=times.astype(np.int64),
        ratings=np.where(rng.random(events) < 0.3, np.nan, rng.integers(1, 6, events)).astype(np.float32)
        if ratings
        else None,
        test=test,
    )


def write_groups(directory: Path, rows: UserRows, group: int) -> Path:
    """population.parquet of these users, in row groups of ``group``."""
    with PopulationWriter(directory, items=ITEMS, group=group) as writer:
        for start in range(0, len(rows), group):
            writer.write(rows.take(np.arange(start, min(start + group, len(rows)))))
    return directory / "population.parquet"
