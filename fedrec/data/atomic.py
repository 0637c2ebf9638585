"""RecBole's and MMRec's atomic files: tab-separated ``.inter``, ``.item`` and ``.user`` with typed headers, and
MMRec's ready-made item features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.data.column_names import taken
from fedrec.data.derived_catalogue import items_of_interactions
from fedrec.data.interactions_table import Places, read_interactions
from fedrec.data.items_table import ItemColumns, items_taken, read_items
from fedrec.data.private_files import read_users
from fedrec.data.ready_features import read_array
from fedrec.data.schema import TEST, TRAIN, UNSPLIT, VALID, ColumnTaken, Dataset, ItemRecord, Skipped
from fedrec.data.tables import ATOMIC, Table
from fedrec.data.tally import Tally
from fedrec.errors import DataError

TYPES = ("token", "token_seq", "float", "float_seq")
FEATURE_FILES: Mapping[str, str] = {"text": "text_feat.npy", "image": "image_feat.npy"}
LABELLED_SPLITS: Mapping[str, int] = {"0": TRAIN, "1": VALID, "2": TEST, "": UNSPLIT}
_USER = ("user_id", "userID")
_ITEM = ("item_id", "itemID")
_TITLE = ("title", "name", "item_name", "movie_title", "product_name")
_TEXT = ("text", "description", "abstract", "overview", "summary")
# A token_seq is separated by spaces; data sets with several words a value use one of the other marks instead.
_SEPARATORS = ("|", ",", " ")


@dataclass(frozen=True)
class _Field:
    name: str
    kind: str
    place: int


def read_atomic(path: Path, inter: Path | None = None, *, catalogue_from_interactions: bool = False) -> Dataset:
    """Read a directory of atomic files.

    Args:
        path: the directory.
        inter: which .inter file of it; None: the one that is named after the directory, or the only one.
        catalogue_from_interactions: see `read_data`.

    ``NAME.inter`` is required: columns ``user_id`` and ``item_id`` (MMRec also ``userID``, ``itemID``), and where there
    are any ``rating``, ``timestamp`` and MMRec's ``x_label`` (0 train, 1 valid, 2 test). A header cell is ``name:type``
    with a type of `TYPES`, or a bare name. ``NAME.item`` gives the catalogue: its title and text by their usual names,
    other ``token`` and ``token_seq`` fields as attributes, ``float`` fields as numbers, ``float_seq`` fields are
    ignored. Without it, items are the rows of the feature files (ids "0", "1", ...) or, without those and with
    consent, the ids in ``NAME.inter``. ``NAME.user`` adds users without events. ``text_feat.npy`` and
    ``image_feat.npy`` become ``features``: one row per item, finite numbers, no pickled objects.

    Bad rows are left out and listed in ``skipped`` as by `read_dataset`. Raises DataError likewise, and for an unknown
    column type, features that do not fit the items, or no list of items.
    """
    inter = _inter_file(path) if inter is None else inter
    skipped: list[Skipped] = []
    features = {name: read_array(path / file) for name, file in FEATURE_FILES.items() if (path / file).exists()}
    table = Table(inter, ATOMIC)
    fields = _fields(table)
    user, item = _required(table, fields, _USER), _required(table, fields, _ITEM)
    listed = inter.with_suffix(".item")
    items = _listed(listed, features, skipped)
    if items is None:
        items = items_of_interactions(
            table, item, consented=catalogue_from_interactions, where=f"{listed.name}, or features of all items"
        )
    _check_fit(path, features, len(items))
    index = {record.id: place for place, record in enumerate(items)}
    places = Places(user, item, _place(fields, "rating"), _place(fields, "timestamp"), _place(fields, "x_label"))
    users, interactions = read_interactions(table, places, index, Tally(inter, skipped), LABELLED_SPLITS)
    users = _users(inter.with_suffix(".user"), users, skipped)
    return Dataset(
        name=inter.stem,
        directory=path,
        users=users,
        items=items,
        interactions=interactions,
        skipped=tuple(skipped),
        features=features,
        columns_taken=tuple(_taken(table, places) + _items_taken(listed)),
    )


def _taken(table: Table, places: Places) -> list[ColumnTaken]:
    parts = {"user": places.user, "item": places.item, "rating": places.rating}
    parts |= {"timestamp": places.timestamp, "split": places.split}
    return taken(table.path.name, table.header, {place: part for part, place in parts.items() if place is not None})


def _items_taken(path: Path) -> list[ColumnTaken]:
    if not path.exists():
        return []
    table = Table(path, ATOMIC)
    return items_taken(path.name, table.header, _item_columns(table))


def _inter_file(path: Path) -> Path:
    files = sorted(path.glob("*.inter"))
    named = path / f"{path.resolve().name}.inter"
    if named in files:
        return named
    if len(files) != 1:
        raise DataError(
            "no .inter file" if not files else "more than one .inter file",
            path=path,
            value=[file.name for file in files],
            action="Keep one, or name one after the directory",
        )
    return files[0]


def _fields(table: Table) -> list[_Field]:
    fields = []
    for place, cell in enumerate(table.header):
        name, _, kind = cell.partition(":")
        if kind and kind not in TYPES:
            raise DataError(
                "unknown column type", path=table.path, line=1, value=cell, action=f"Types are {', '.join(TYPES)}"
            )
        fields.append(_Field(name, kind, place))
    return fields


def _place(fields: list[_Field], *names: str) -> int | None:
    return next((field.place for name in names for field in fields if field.name == name), None)


def _required(table: Table, fields: list[_Field], names: tuple[str, ...]) -> int:
    place = _place(fields, *names)
    if place is None:
        raise DataError(
            f"wrong header: no column {' or '.join(names)}", path=table.path, line=1, value=" ".join(table.header)
        )
    return place


def _listed(
    path: Path, features: Mapping[str, NDArray[np.float32]], skipped: list[Skipped]
) -> tuple[ItemRecord, ...] | None:
    """The items of a list or of the rows of features; None without either."""
    if path.exists():
        table = Table(path, ATOMIC)
        return read_items(table, _item_columns(table), Tally(path, skipped))
    if features:
        return tuple(ItemRecord(str(row), "") for row in range(max(len(values) for values in features.values())))
    return None


def _item_columns(table: Table) -> ItemColumns:
    fields = _fields(table)
    id_ = _required(table, fields, _ITEM)
    title, text = _place(fields, *_TITLE), _place(fields, *_TEXT)
    others = [field for field in fields if field.place not in (id_, title, text)]
    return ItemColumns(
        id=id_,
        title=title,
        text=text,
        attributes=tuple(
            (field.name, field.place, _SEPARATORS if field.kind == "token_seq" else ())
            for field in others
            if field.kind in ("token", "token_seq")
        ),
        numbers=tuple((field.name, field.place) for field in others if field.kind == "float"),
    )


def _users(path: Path, users: tuple[str, ...], skipped: list[Skipped]) -> tuple[str, ...]:
    if not path.exists():
        return users
    table = Table(path, ATOMIC)
    column = table.header[_required(table, _fields(table), _USER)]
    return read_users(table, column, users, Tally(path, skipped))


def _check_fit(path: Path, features: Mapping[str, NDArray[np.float32]], items: int) -> None:
    for name, values in features.items():
        if len(values) != items:
            raise DataError(
                f"one row per item is needed, {items} rows", path=path / FEATURE_FILES[name], value=len(values)
            )
