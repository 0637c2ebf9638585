"""What a device knows, as types: events, notes, photos; and the columns of a whole data set for simulations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TRAIN, VALID, TEST, UNSPLIT = 0, 1, 2, -1


@dataclass(frozen=True, slots=True)
class Event:
    """One interaction of a user with an item. ``timestamp``: seconds since 1970, UTC, or None where unknown."""

    item: str
    timestamp: int | None = None
    rating: float | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A text that a user wrote; private, never part of the catalogue."""

    text: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture that a user took, as the bytes of its file; private."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """One item of the catalogue as published: public content, no behaviour.

    ``attributes``: categorical fields, each with zero or more values (``{"genres": ("Drama", "War")}``).
    ``numbers``: numeric fields (``{"price": 12.5}``). ``image``, ``sound``: the picture's and the
    sound's file, or None. ``frames``: picture files of a video, in its order.
    """

    id: str
    title: str
    text: str = ""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    image: Path | None = None
    sound: Path | None = None
    frames: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Interactions:
    """Interactions as columns of equal length, sorted by (user, timestamp, order in the file).

    ``user``, ``item``: int32, places in the data set's ``users`` and ``items``. ``rating``: float32, NaN where
    unknown. ``timestamp``: int64, -1 where unknown. ``split``: int8, `TRAIN`, `VALID`, `TEST` or `UNSPLIT`.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    rating: NDArray[np.float32]
    timestamp: NDArray[np.int64]
    split: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class LeaveOneOut:
    """An evaluation file: for each user a validation item, a test item (-1 where none) and negatives.

    ``valid``, ``test``: int32 [users]. ``negatives``: int32 [users, up to 99], rows padded with -1.
    """

    valid: NDArray[np.int32]
    test: NDArray[np.int32]
    negatives: NDArray[np.int32]


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why: counted and reported, never silently lost."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class ColumnTaken:
    """What a column of a file or frame was taken for on reading.

    ``taken_as``: ``user``, ``item``, ``rating``, ..., ``attribute NAME``, ``number NAME``, or None: it is ignored.
    ``note``: why, or in which unit, where that is not plain.
    """

    file: str
    column: str
    taken_as: str | None
    note: str = ""

    def __str__(self) -> str:
        taken = "ignored" if self.taken_as is None else f"taken as {self.taken_as}"
        return f"{self.file}: {self.column} is {taken}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Dataset:
    """A whole data set in memory, for simulations and measurements; a device never holds one.

    ``directory``: where it was read from, None for frames and single files. ``notes`` and ``photos`` map a user's place
    to what that user wrote and to picture files. ``skipped`` holds what was left out on reading. ``features`` are
    ready-made item features, modality to float32 [items, width]. ``columns_taken``: what each column
    was taken for.
    """

    name: str
    directory: Path | None
    users: Sequence[str]
    items: Sequence[ItemRecord]
    interactions: Interactions
    evaluation: LeaveOneOut | None = None
    notes: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    photos: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)
    skipped: tuple[Skipped, ...] = ()
    features: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    columns_taken: tuple[ColumnTaken, ...] = ()

    def __repr__(self) -> str:
        counts = f"{len(self.users):,} users, {len(self.items):,} items, {len(self.interactions):,} interactions"
        left = f", {len(self.skipped):,} rows or parts of rows left out" if self.skipped else ""
        return f"<Dataset {self.name!r}: {counts}{left}>"
