"""A shop in CSV: ``items.csv``, ``users.csv``, ``interactions.csv`` and ``loo_99neg.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.shop.behaviour import ShopEvents
from fedrec.simulation.shop.catalogue import FIELDS, item_id
from fedrec.simulation.shop.item_rows import ItemRows
from fedrec.simulation.shop.people import PeopleRows, user_id


def write_items(out: Path, blocks: Iterable[ItemRows]) -> None:
    """Write items.csv."""
    with (out / "items.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(FIELDS)
        for rows in blocks:
            prices = (f"{price:.2f}" for price in rows.price)
            columns = (rows.item, rows.title, rows.genres, rows.category, rows.brand, rows.text, prices)
            writer.writerows(zip(*columns, strict=True))


def write_population(out: Path, people: PeopleRows, chunks: Iterable[ShopEvents], items: int) -> None:
    """Write users.csv, and for each chunk of users, in order, its lines of interactions.csv and loo_99neg.csv."""
    _write_users(out, people)
    names: NDArray[np.object_] = np.array([item_id(place) for place in range(items)], dtype=object)
    done = 0
    with (
        (out / "interactions.csv").open("w", encoding="utf-8", newline="") as log,
        (out / "loo_99neg.csv").open("w", encoding="utf-8", newline="") as evaluation,
    ):
        log.write("user,item,timestamp\n")
        evaluation.write("user,valid_item,test_item,negatives\n")
        for chunk in chunks:
            ids = [user_id(done + row) for row in range(len(chunk.count))]
            log.writelines(_log_lines(ids, chunk, names))
            evaluation.writelines(_evaluation_lines(ids, chunk, names))
            done += len(ids)


def _write_users(out: Path, people: PeopleRows) -> None:
    with (out / "users.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user", "age", "region"))
        writer.writerows(zip(map(user_id, range(len(people))), people.age, people.region, strict=True))


def _log_lines(ids: list[str], chunk: ShopEvents, names: NDArray[np.object_]) -> Iterable[str]:
    for user, picks, times, count in zip(ids, chunk.items, chunk.times.tolist(), chunk.count.tolist(), strict=True):
        for item, time in zip(names[picks[:count]], times[:count], strict=True):
            yield f"{user},{item},{time}\n"


def _evaluation_lines(ids: list[str], chunk: ShopEvents, names: NDArray[np.object_]) -> Iterable[str]:
    for user, valid, test, negatives in zip(ids, chunk.valid, chunk.test, chunk.negatives, strict=True):
        yield f"{user},{names[valid] if valid >= 0 else ''},{names[test]},{' '.join(names[negatives])}\n"
