"""A data directory in Parquet: ``items.parquet`` and ``population.parquet``, for populations of a million users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.data.arrow_columns import ArrowTexts
from fedrec.data.column_names import taken
from fedrec.data.item_media import IMAGES, SOUNDS, VIDEOS, with_media
from fedrec.data.items_table import items_taken
from fedrec.data.media_files import folder
from fedrec.data.parquet_items import FILE as ITEMS_FILE
from fedrec.data.parquet_items import ParquetItems
from fedrec.data.population_file import FILE, PopulationFile
from fedrec.data.private_files import read_notes, read_photos
from fedrec.data.ready_features import read_ready
from fedrec.data.relations import with_relations
from fedrec.data.schema import UNSPLIT, Dataset, Interactions, ItemRecord, LeaveOneOut, Skipped
from fedrec.data.user_rows import UserRows, stacked
from fedrec.errors import DataError
from fedrec.extras import need


def read_parquet_directory(path: Path) -> Dataset:
    """Read a directory with ``population.parquet`` (`fedrec.data.population_file`) and ``items.parquet``.

    What is beside them is read as beside CSV files: ``images/``, ``sounds/``, ``videos/``, ``relations.csv``,
    ``notes.csv``, ``photos/`` and ``features/``. The items' records are made when they are asked for, and events are
    kept as flat arrays, 16 bytes an event: no object is made for each user, event or item.

    Raises:
        MissingExtraError: pyarrow is not installed.
        DataError: a file is missing or wrong; names the file and the row.
    """
    skipped: list[Skipped] = []
    if not (path / ITEMS_FILE).exists():
        raise DataError(
            f"no {ITEMS_FILE} in this directory", path=path, action=f"{FILE} names items by their row in {ITEMS_FILE}"
        )
    listed = ParquetItems(path / ITEMS_FILE)
    file = PopulationFile(path / FILE, len(listed))
    users, interactions, evaluation = _columns(file)
    notes, photos = path / "notes.csv", folder(path / "photos")
    places = {user: place for place, user in enumerate(users)} if notes.exists() or photos else {}
    return Dataset(
        name=path.resolve().name,
        directory=path,
        users=users,
        items=_with_files(listed, path, skipped),
        interactions=interactions,
        evaluation=evaluation,
        notes=read_notes(notes, places, skipped) if notes.exists() else {},
        photos=read_photos(photos, places, skipped) if photos else {},
        skipped=tuple(skipped),
        features=read_ready(path / "features", listed.ids),
        columns_taken=(
            *taken(
                FILE, file.header, {place: _PARTS[name] for place, name in enumerate(file.header) if name in _PARTS}
            ),
            *items_taken(ITEMS_FILE, listed.header, listed.columns),
        ),
    )


_PARTS: Mapping[str, str] = {
    "user": "user",
    "items": "item",
    "times": "timestamp",
    "ratings": "rating",
    "valid": "validation item",
    "test": "test item",
    "negatives": "negatives",
}


def _with_files(items: ParquetItems, path: Path, skipped: list[Skipped]) -> Sequence[ItemRecord]:
    """The items themselves, or with what lies beside them, where there is any: then they are all in memory."""
    found: Sequence[ItemRecord] = items
    if any((path / name).exists() for name in (IMAGES, SOUNDS, VIDEOS)):
        found = with_media(found, path, skipped)
    if (path / "relations.csv").exists():
        found = with_relations(tuple(found), path / "relations.csv", skipped)
    return found


def _columns(file: PopulationFile) -> tuple[ArrowTexts, Interactions, LeaveOneOut | None]:
    """All users as columns, read a row group at a time."""
    arrow = need("pyarrow", "data")
    names, lengths, parts = [], [], []
    for rows in file:
        names.append(rows.names.column if isinstance(rows.names, ArrowTexts) else arrow.array(list(rows.names)))
        lengths.append(np.diff(rows.indptr))
        parts.append(rows)
    users = ArrowTexts(arrow.chunked_array(names))
    file.check_names(users)
    counts = np.concatenate(lengths)
    return users, _interactions(parts, counts), _evaluation(parts)


def _interactions(parts: Sequence[UserRows], counts: NDArray[np.int64]) -> Interactions:
    events = int(counts.sum())
    times = [part.times for part in parts if part.times is not None]
    ratings = [part.ratings for part in parts if part.ratings is not None]
    # What no event has takes no memory: one value stands for all.
    return Interactions(
        user=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        item=np.concatenate([part.items for part in parts]),
        rating=np.concatenate(ratings) if ratings else np.broadcast_to(np.float32(np.nan), events),
        timestamp=np.concatenate(times) if times else np.broadcast_to(np.int64(-1), events),
        split=np.broadcast_to(np.int8(UNSPLIT), events),
    )


def _evaluation(parts: Sequence[UserRows]) -> LeaveOneOut | None:
    if parts[0].valid is None and parts[0].test is None:
        return None
    users = sum(map(len, parts))
    none = np.full(users, -1, dtype=np.int32)
    valid = [part.valid for part in parts if part.valid is not None]
    test = [part.test for part in parts if part.test is not None]
    negatives = [part.negatives for part in parts if part.negatives is not None]
    return LeaveOneOut(
        np.concatenate(valid) if valid else none,
        np.concatenate(test) if test else none,
        stacked(negatives) if negatives else np.zeros((users, 0), dtype=np.int32),
    )
