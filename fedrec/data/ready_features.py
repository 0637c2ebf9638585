"""Ready-made features of a data directory's items: ``features/<modality>.npy``, so that nothing need be encoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.data.media_files import folder
from fedrec.errors import DataError

MODALITIES: Final = ("text", "image", "audio", "video", "attributes")
IDS: Final = "ids.txt"


def read_ready(directory: Path, ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Read the features that there are; modality -> float32 [items, width] in the order of ``ids``.

    ``<modality>.npy`` is a plain array of numbers [rows, width], finite, without pickled objects. ``ids.txt`` names the
    item of each row, an id a line; items that it does not name get zeros, which count as missing. Without it, rows are
    in the order of the items.

    Raises:
        DataError: a file is no such array, is of no modality, or does not fit the ids.
    """
    if (found := folder(directory)) is None:
        return {}
    files = sorted(found.glob("*.npy"))
    for file in files:
        if file.stem not in MODALITIES:
            raise DataError(
                "features of no modality", path=file, value=file.stem, action=f"Name it {', '.join(MODALITIES)}"
            )
    named = _places(found / IDS, ids) if files and (found / IDS).exists() else None
    return {file.stem: _fitted(file, read_array(file), named, len(ids)) for file in files}


def read_array(path: Path) -> NDArray[np.float32]:
    """A plain NumPy file of finite numbers [rows, width] as float32. Raises DataError for anything else."""
    try:
        # Not numpy.load, which would also open archives.
        with path.open("rb") as file:
            values = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError) as error:
        raise DataError(f"no plain NumPy array: {error}", path=path, action="Save it with numpy.save") from None
    if values.ndim != 2 or values.dtype.kind not in "fiu":
        raise DataError("features must be numbers of shape (items, width)", path=path, value=values.shape)
    with np.errstate(over="ignore"):
        features = np.ascontiguousarray(values, dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise DataError(f"row {bad[0]} holds a value that is not a finite float32", path=path)
    return features


def _places(path: Path, ids: Sequence[str]) -> NDArray[np.int64]:
    """The item of each line of ids.txt, as a place."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}", path=path, action="Save it as UTF-8, an id a line") from None
    index = {item: place for place, item in enumerate(ids)}
    seen: set[int] = set()
    for line, item in enumerate(lines, start=1):
        place = index.get(item, -1)
        if place < 0 or place in seen:
            what = "no such item" if place < 0 else "an item that came before"
            raise DataError(what, path=path, line=line, value=item, action="Name each row's item once")
        seen.add(place)
    return np.array([index[item] for item in lines], dtype=np.int64)


def _fitted(
    path: Path, values: NDArray[np.float32], named: NDArray[np.int64] | None, items: int
) -> NDArray[np.float32]:
    rows = items if named is None else len(named)
    if len(values) != rows:
        what = "the order of the items" if named is None else IDS
        raise DataError(f"one row for each of {what} is needed, {rows} rows", path=path, value=len(values))
    if named is None:
        return values
    out = np.zeros((items, values.shape[1]), dtype=np.float32)
    out[named] = values
    return out
