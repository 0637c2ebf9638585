"""What a data set holds, in figures, before anything is computed on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from fedrec.data.membership import among, first_places
from fedrec.data.schema import TEST, TRAIN, VALID, Dataset

SPARSE_TEXT = 0.5
EXAMPLES = 20


def inspect(dataset: Dataset) -> dict[str, Any]:
    """Figures of a data set, ready for JSON; a figure that does not apply is None.

    ``density`` is the share of all (user, item) pairs that occur. Everything under ``coverage`` is a share from 0 to 1
    of the items or users. ``skipped`` counts what was left out on reading by reason, with the first few places.
    """
    counts = np.bincount(dataset.interactions.user, minlength=len(dataset.users))
    return {
        "name": dataset.name,
        "users": len(dataset.users),
        "items": len(dataset.items),
        "interactions": len(dataset.interactions),
        "density": _density(dataset),
        "users_without_events": int((counts == 0).sum()),
        "items_without_events": len(dataset.items) - _used_items(dataset),
        "events_per_user": _quantiles(counts),
        "coverage": _coverage(dataset),
        "features": {name: list(values.shape) for name, values in dataset.features.items()},
        "time": _time(dataset),
        "rating": _rating(dataset),
        "split": _split(dataset),
        "evaluation": _evaluation(dataset),
        "columns": [str(column) for column in dataset.columns_taken],
        "skipped": {
            "rows": len(dataset.skipped),
            "by_reason": skipped_by_reason(dataset),
            "first": [f"{entry.file}:{entry.line}: {entry.reason}" for entry in dataset.skipped[:EXAMPLES]],
        },
        "warnings": _warnings(dataset, counts),
    }


def skipped_by_reason(dataset: Dataset) -> dict[str, int]:
    """How many rows, or parts of rows, were left out on reading, by file (or folder) and reason."""
    return dict(Counter(f"{_kind(entry.file)}: {entry.reason}" for entry in dataset.skipped))


def _used_items(dataset: Dataset) -> int:
    return int(np.count_nonzero(np.bincount(dataset.interactions.item, minlength=1)))


def _density(dataset: Dataset) -> float | None:
    table = dataset.interactions
    cells = len(dataset.users) * len(dataset.items)
    pairs = first_places(table.user.astype(np.int64) * max(len(dataset.items), 1) + table.item)
    return len(pairs) / cells if cells else None


def _quantiles(counts: np.ndarray[Any, np.dtype[np.int64]]) -> dict[str, float] | None:
    if not len(counts):
        return None
    names = {"min": 0, "p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90, "max": 100}
    figures = {name: float(np.percentile(counts, percent)) for name, percent in names.items()}
    return {**figures, "mean": float(counts.mean())}


def _coverage(dataset: Dataset) -> dict[str, Any]:
    items, users = dataset.items, len(dataset.users)
    fields = sorted({name for item in items for name in item.attributes})
    numbers = sorted({name for item in items for name in item.numbers})
    return {
        "title": _share((bool(item.title) for item in items), len(items)),
        "text": _share((bool(item.text) for item in items), len(items)),
        "image": _share((item.image is not None for item in items), len(items)),
        "audio": _share((item.sound is not None for item in items), len(items)),
        "video": _share((bool(item.frames) for item in items), len(items)),
        "attributes": {name: _share((name in item.attributes for item in items), len(items)) for name in fields},
        "numbers": {name: _share((name in item.numbers for item in items), len(items)) for name in numbers},
        "users_with_notes": _share((True for _ in dataset.notes), users),
        "users_with_photos": _share((True for _ in dataset.photos), users),
    }


def _share(marks: Iterable[bool], total: int) -> float | None:
    return sum(marks) / total if total else None


def _time(dataset: Dataset) -> dict[str, Any]:
    known = dataset.interactions.timestamp[dataset.interactions.timestamp >= 0]
    if not len(known):
        return {"known": 0.0, "from": None, "to": None}
    ends = (datetime.fromtimestamp(int(end), UTC).isoformat() for end in (known.min(), known.max()))
    return {"known": len(known) / len(dataset.interactions), **dict(zip(("from", "to"), ends, strict=True))}


def _rating(dataset: Dataset) -> dict[str, float] | None:
    known = dataset.interactions.rating[~np.isnan(dataset.interactions.rating)]
    if not len(known):
        return None
    return {
        "known": len(known) / len(dataset.interactions),
        "min": float(known.min()),
        "mean": float(known.astype(np.float64).mean()),
        "max": float(known.max()),
    }


def _split(dataset: Dataset) -> dict[str, int] | None:
    marks = dataset.interactions.split
    names = {"train": TRAIN, "valid": VALID, "test": TEST}
    figures = {name: int((marks == mark).sum()) for name, mark in names.items()}
    return figures if any(figures.values()) else None


def _evaluation(dataset: Dataset) -> dict[str, float] | None:
    given = dataset.evaluation
    if given is None:
        return None
    named = given.test >= 0
    negatives = (given.negatives >= 0).sum(axis=1)[named]
    return {
        "users_with_valid": int((given.valid >= 0).sum()),
        "users_with_test": int(named.sum()),
        "negatives_per_user": float(negatives.mean()) if len(negatives) else 0.0,
        "negatives_met_by_their_user": _met_negatives(dataset),
    }


def _met_negatives(dataset: Dataset) -> int:
    if dataset.evaluation is None:
        return 0
    users, columns = np.nonzero(dataset.evaluation.negatives >= 0)
    table, width = dataset.interactions, max(len(dataset.items), 1)
    negatives = users.astype(np.int64) * width + dataset.evaluation.negatives[users, columns]
    return int(among(negatives, table.user.astype(np.int64) * width + table.item).sum())


def _kind(file: str) -> str:
    """Files of a folder are counted together: ``photos/u/a.jpg`` as ``photos``."""
    return file.split("/", 1)[0]


def _warnings(dataset: Dataset, counts: np.ndarray[Any, np.dtype[np.int64]]) -> list[str]:
    found = []
    table = dataset.interactions
    if not (table.timestamp >= 0).any():
        found.append("no interaction has a timestamp: the order of the file stands for time")
    elif (table.timestamp < 0).any():
        found.append("some interactions have no timestamp: they count as the oldest")
    if (few := int((counts < 3).sum())) and dataset.evaluation is None:
        found.append(f"{few} users have fewer than 3 events and cannot be measured by leave-one-out")
    if len(dataset.users) < 2:
        found.append("fewer than 2 users: nothing can be learnt together")
    texts = sum(bool(item.text) for item in dataset.items)
    if texts < SPARSE_TEXT * len(dataset.items) and "text" not in dataset.features:
        found.append(f"only {texts} of {len(dataset.items)} items have a text")
    images = sum(item.image is not None for item in dataset.items)
    if images < SPARSE_TEXT * len(dataset.items) and "image" not in dataset.features:
        found.append(f"only {images} of {len(dataset.items)} items have a picture")
    if met := _met_negatives(dataset):
        found.append(f"{met} evaluation negatives are items that their user has met")
    if dataset.skipped:
        found.append(f"rows or parts of rows that were left out on reading: {len(dataset.skipped)}")
    return found
