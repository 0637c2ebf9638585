"""Write a data set as a data directory, the form that every command reads and a person can look into."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedrec.data.evaluation_table import COLUMNS as EVALUATION_COLUMNS
from fedrec.data.interactions_table import NAMED_SPLITS
from fedrec.data.item_media import IMAGES, SOUNDS, VIDEOS
from fedrec.data.items_table import ATTRIBUTE_PREFIX, NUMBER_PREFIX
from fedrec.data.media_files import SOUND_SUFFIXES, SUFFIXES
from fedrec.data.schema import Dataset, ItemRecord
from fedrec.errors import ConfigError, DataError

BETWEEN: Final = "|"
_PARTIAL: Final = ".partial"


def write_directory(dataset: Dataset, out: Path) -> list[str]:
    """Write every part of a data set that there is; `fedrec.data.reader.read_dataset` reads it back.

    The directory appears when all of it is written. Ids that cannot be a file's name have no media beside them.

    Args:
        dataset: read by `fedrec.read_data`.
        out: a directory that does not exist, or is empty.

    Returns:
        What could not be written as it was, in sentences; often nothing.

    Raises:
        ConfigError: something else is in ``out``. DataError: a file cannot be written or copied.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(
            "something else is there already", value=str(out), action="Name a directory that is not there"
        )
    partial = out.with_name(out.name + _PARTIAL)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        changed = [*_tables(dataset, partial), *_media(dataset, partial)]
        if out.exists():
            out.rmdir()
        partial.rename(out)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise DataError(f"cannot be written: {error.strerror}", path=Path(error.filename or out)) from None
    return changed


def _tables(dataset: Dataset, out: Path) -> Iterator[str]:
    _write(out / "interactions.csv", *_interactions(dataset))
    header, rows, replaced = _items(dataset.items)
    _write(out / "items.csv", header, rows)
    if replaced:
        yield f"{replaced:,} values of attributes held a {BETWEEN}, which separates values: it is written as /"
    active = np.zeros(len(dataset.users), dtype=np.bool_)
    active[dataset.interactions.user] = True
    if not active.all():
        _write(out / "users.csv", ("user",), ((dataset.users[place],) for place in np.flatnonzero(~active).tolist()))
    if dataset.evaluation is not None:
        _write(out / "loo_99neg.csv", EVALUATION_COLUMNS, _evaluation(dataset))
    if dataset.notes:
        notes = ((dataset.users[place], text) for place, texts in dataset.notes.items() for text in texts)
        _write(out / "notes.csv", ("user", "text"), notes)
    if dataset.features:
        (out / "features").mkdir()
        (out / "features" / "ids.txt").write_text("".join(f"{item.id}\n" for item in dataset.items), encoding="utf-8")
        for name, values in dataset.features.items():
            np.save(out / "features" / f"{name}.npy", values, allow_pickle=False)


def _interactions(dataset: Dataset) -> tuple[list[str], Iterator[tuple[str, ...]]]:
    """Header and rows; a part that no interaction has is no column."""
    rows = dataset.interactions
    names = {number: name for name, number in NAMED_SPLITS.items()}
    columns: dict[str, Sequence[str]] = {
        "user": [dataset.users[place] for place in rows.user.tolist()],
        "item": [dataset.items[place].id for place in rows.item.tolist()],
        "rating": ["" if text == "nan" else text for text in rows.rating.astype(str).tolist()],
        "timestamp": ["" if moment < 0 else str(moment) for moment in rows.timestamp.tolist()],
        "split": [names[part] for part in rows.split.tolist()],
    }
    kept = {name: cells for name, cells in columns.items() if name in ("user", "item") or any(cells)}
    return list(kept), zip(*kept.values(), strict=True)


def _items(items: Sequence[ItemRecord]) -> tuple[list[str], Iterator[list[str]], int]:
    """Header, rows, and how many values had the mark in them that stands between values."""
    fields = sorted({name for item in items for name in item.attributes})
    numbers = sorted({name for item in items for name in item.numbers})
    header = ["item", "title", "text", *(ATTRIBUTE_PREFIX + name for name in fields)]
    header += [NUMBER_PREFIX + name for name in numbers]
    held = sum(BETWEEN in value for item in items for values in item.attributes.values() for value in values)

    def row(item: ItemRecord) -> list[str]:
        named = [BETWEEN.join(v.replace(BETWEEN, "/") for v in item.attributes.get(name, ())) for name in fields]
        return [item.id, item.title, item.text, *named, *(_number(item.numbers.get(name)) for name in numbers)]

    return header, map(row, items), held


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _evaluation(dataset: Dataset) -> Iterator[tuple[str, str, str, str]]:
    held, ids = dataset.evaluation, [item.id for item in dataset.items]
    assert held is not None
    for place, (valid, test) in enumerate(zip(held.valid.tolist(), held.test.tolist(), strict=True)):
        if valid >= 0 or test >= 0:
            negatives = " ".join(ids[item] for item in held.negatives[place].tolist() if item >= 0)
            named = (ids[valid] if valid >= 0 else "", ids[test] if test >= 0 else "")
            yield dataset.users[place], *named, negatives


def _media(dataset: Dataset, out: Path) -> Iterator[str]:
    left = 0
    for item in dataset.items:
        files = [(item.image, IMAGES, SUFFIXES), (item.sound, SOUNDS, SOUND_SUFFIXES)]
        for file, folder, suffixes in files:
            if file is not None:
                left += not _copied(file, out / folder, item.id, suffixes)
        for number, frame in enumerate(item.frames):
            left += not (_is_name(item.id) and _copied(frame, out / VIDEOS / item.id, str(number), SUFFIXES))
    for place, photos in dataset.photos.items():
        user = dataset.users[place]
        for photo in photos:
            left += not (_is_name(user) and _copied(photo, out / "photos" / user, photo.stem, SUFFIXES))
    if left:
        yield (
            f"{left:,} files are left out: an id that cannot be the name of a file, or another kind than "
            f"{', '.join((*SUFFIXES, *SOUND_SUFFIXES))}"
        )


def _copied(file: Path, folder: Path, name: str, suffixes: Iterable[str]) -> bool:
    if not _is_name(name) or file.suffix.lower() not in suffixes:
        return False
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, folder / f"{name}{file.suffix.lower()}")
    return True


def _is_name(text: str) -> bool:
    """Whether a file may be called so: one part of a path, that leads nowhere else."""
    return Path(text).name == text and text not in (".", "..") and "\0" not in text and len(text.encode()) < 200


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
