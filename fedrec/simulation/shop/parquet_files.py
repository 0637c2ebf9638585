"""A shop in Parquet: ``items.parquet``, and ``population.parquet`` with a row a user.

The same items and users as in CSV, read back as the same data set; `fedrec.data.population_file` says in which columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fedrec.data.population_writer import PopulationWriter
from fedrec.data.user_rows import UserRows
from fedrec.extras import need
from fedrec.simulation.shop.behaviour import ShopEvents
from fedrec.simulation.shop.item_rows import ItemRows
from fedrec.simulation.shop.people import PeopleRows, user_id
from fedrec.users import pointers_of


def write_items(out: Path, blocks: Iterable[ItemRows]) -> None:
    """Write items.parquet, a row group a block."""
    arrow: Any = need("pyarrow", "data", what="writing items.parquet")
    parquet: Any = need("pyarrow.parquet", "data", what="writing items.parquet")
    writer = None
    for rows in blocks:
        table = arrow.table(asdict(rows))
        writer = writer or parquet.ParquetWriter(out / "items.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()


def write_population(out: Path, people: PeopleRows, chunks: Iterable[ShopEvents], items: int) -> None:
    """Write population.parquet: for each chunk of users, in order, their rows."""
    done = 0
    with PopulationWriter(out, items=items, also=("age", "region")) as writer:
        for chunk in chunks:
            stop = done + len(chunk.count)
            names = [user_id(place) for place in range(done, stop)]
            writer.write(_rows(names, chunk), {"age": people.age[done:stop], "region": people.region[done:stop]})
            done = stop


def _rows(names: list[str], chunk: ShopEvents) -> UserRows:
    there = np.arange(chunk.items.shape[1]) < chunk.count[:, None]
    return UserRows(
        names=names,
        indptr=pointers_of(chunk.count),
        items=chunk.items[there],
        times=chunk.times[there],
        ratings=None,
        valid=chunk.valid,
        test=chunk.test,
        negatives=chunk.negatives,
    )
