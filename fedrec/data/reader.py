"""A data directory into memory: what simulations and measurements start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fedrec.data.atomic import read_atomic
from fedrec.data.column_names import INTERACTION_NAMES, taken
from fedrec.data.derived_catalogue import items_of_interactions
from fedrec.data.evaluation_table import read_evaluation
from fedrec.data.interactions_table import Places, read_interactions
from fedrec.data.item_media import with_media
from fedrec.data.items_table import columns_of, items_taken, read_items_csv
from fedrec.data.media_files import folder
from fedrec.data.parquet_directory import read_parquet_directory
from fedrec.data.population_file import FILE as POPULATION
from fedrec.data.private_files import read_notes, read_photos, read_users
from fedrec.data.ready_features import read_ready
from fedrec.data.relations import with_relations
from fedrec.data.schema import ColumnTaken, Dataset, Interactions, ItemRecord, LeaveOneOut, Skipped
from fedrec.data.tables import CSV, Table
from fedrec.data.tally import Tally
from fedrec.errors import DataError


def read_dataset(path: Path, *, catalogue_from_interactions: bool = False) -> Dataset:
    """Read a data directory; ids are text and are taken as they stand.

    Files: ``interactions.csv`` (user,item[,rating][,timestamp][,split], split one of train, valid, test) and
    ``items.csv`` (see `read_items_csv`) are required, but with ``catalogue_from_interactions`` (see `read_data`) the
    items may be those of the interactions; ``images/``, ``sounds/`` and ``videos/`` (see `with_media`),
    ``relations.csv`` (see `with_relations`), ``users.csv`` (user,...), ``loo_99neg.csv`` (see `read_evaluation`),
    ``notes.csv`` (user,text) and ``photos/<user>/`` are optional. A directory without ``interactions.csv`` but with a
    ``.inter`` file is read by `read_atomic`, and one with ``population.parquet`` by `read_parquet_directory`.
    Ready-made features in ``features/`` (see `read_ready`) stand for encoding that modality.

    Users come in the order of their first interaction, then those that only ``users.csv`` names: people with no event.
    Bad rows are left out and listed in ``skipped``, never silently.

    Raises:
        DataError: a file is missing, empty, not UTF-8 or wrongly structured, or more than half of its rows are bad;
            names the file and, where there is one, the line.
    """
    if not path.is_dir():
        raise DataError("no such data directory", path=path, value=str(path), action="Give the path of a directory")
    if (path / POPULATION).exists():
        if (path / "interactions.csv").exists():
            raise DataError(
                f"both interactions.csv and {POPULATION} in one directory", path=path, action="Take one of them away"
            )
        return read_parquet_directory(path)
    if not (path / "interactions.csv").exists():
        if any(path.glob("*.inter")):
            return read_atomic(path, catalogue_from_interactions=catalogue_from_interactions)
        raise DataError(
            "no data set in this directory",
            path=path,
            action=f"It needs interactions.csv and items.csv, {POPULATION} and items.parquet, or RecBole's or MMRec's "
            ".inter file",
        )
    return _read_csv_directory(path, catalogue_from_interactions)


def _read_csv_directory(path: Path, consented: bool) -> Dataset:
    skipped: list[Skipped] = []
    items = with_media(_items(path, consented, skipped), path, skipped)
    items = with_relations(items, path / "relations.csv", skipped)
    index = {item.id: place for place, item in enumerate(items)}
    users, interactions = _interactions(path / "interactions.csv", index, skipped)
    if (path / "users.csv").exists():
        table = Table(path / "users.csv", CSV)
        table.require("user")
        users = read_users(table, "user", users, Tally(table.path, skipped))
    places = {user: place for place, user in enumerate(users)}
    notes, photos = path / "notes.csv", folder(path / "photos")
    return Dataset(
        name=path.resolve().name,
        directory=path,
        users=users,
        items=items,
        interactions=interactions,
        evaluation=_evaluation(path / "loo_99neg.csv", places, index, interactions, skipped),
        notes=read_notes(notes, places, skipped) if notes.exists() else {},
        photos=read_photos(photos, places, skipped) if photos else {},
        skipped=tuple(skipped),
        features=read_ready(path / "features", tuple(index)),
        columns_taken=tuple(_columns_taken(path)),
    )


def _items(path: Path, consented: bool, skipped: list[Skipped]) -> tuple[ItemRecord, ...]:
    if (path / "items.csv").exists():
        return read_items_csv(path / "items.csv", skipped)
    table = Table(path / "interactions.csv", CSV)
    table.require("user", "item")
    return items_of_interactions(table, table.header.index("item"), consented=consented, where="items.csv")


def _columns_taken(path: Path) -> list[ColumnTaken]:
    table = Table(path / "interactions.csv", CSV)
    parts = {place: name for place, name in enumerate(table.header) if name in INTERACTION_NAMES}
    found = taken(table.path.name, table.header, parts)
    if not (path / "items.csv").exists():
        return found
    catalogue = Table(path / "items.csv", CSV)
    return found + items_taken(catalogue.path.name, catalogue.header, columns_of(catalogue.path, catalogue.header))


def _interactions(path: Path, items: Mapping[str, int], skipped: list[Skipped]) -> tuple[tuple[str, ...], Interactions]:
    table = Table(path, CSV)
    table.require("user", "item")
    places = Places(
        user=table.header.index("user"),
        item=table.header.index("item"),
        rating=table.place("rating"),
        timestamp=table.place("timestamp"),
        split=table.place("split"),
    )
    return read_interactions(table, places, items, Tally(path, skipped))


def _evaluation(
    path: Path,
    users: Mapping[str, int],
    items: Mapping[str, int],
    interactions: Interactions,
    skipped: list[Skipped],
) -> LeaveOneOut | None:
    if not path.exists():
        return None
    active = np.zeros(len(users), dtype=np.bool_)
    active[interactions.user] = True
    return read_evaluation(path, users, items, active, skipped)
