"""Blocks of attribute columns for many items at once: what `fedrec.content.attributes` encodes, before it is scaled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.data.schema import ItemRecord

OTHER: Final = "(other)"


def multi_hot(field: str, values: Sequence[str], items: Sequence[ItemRecord]) -> NDArray[np.float32]:
    """1 / sqrt(k) in the column of each of an item's k values: float32 [items, values].

    A value that is none of ``values`` counts in the last column where that is `OTHER`, and nowhere otherwise.
    """
    column: dict[str, int] = {}
    for place, value in enumerate(values):
        column.setdefault(value, place)
    other = column.get(OTHER) if values[-1] == OTHER else None
    rows: list[int] = []
    columns: list[int] = []
    for row, item in enumerate(items):
        for value in item.attributes.get(field, ()):
            at = column.get(value, other)
            if at is not None:
                rows.append(row)
                columns.append(at)
    block = np.zeros((len(items), len(values)), np.float32)
    block[rows, columns] = 1
    return np.asarray(block / np.maximum(np.sqrt(block.sum(axis=1, dtype=np.float64)), 1.0).astype(np.float32)[:, None])


def given_numbers(name: str, items: Sequence[ItemRecord]) -> tuple[NDArray[np.float64], list[tuple[int, str]]]:
    """A number of each item, float64 [items], NaN where it has none; and where it is not finite, with the words."""
    wrong: list[tuple[int, str]] = []
    found = np.full(len(items), np.nan)
    for row, item in enumerate(items):
        value = item.numbers.get(name)
        if value is None:
            continue
        if math.isfinite(value):
            found[row] = value
        else:
            wrong.append((row, f"number '{name}' is {value}"))
    return found, wrong


def standardised(values: NDArray[np.float64], mean: float, deviation: float, outermost: float) -> NDArray[np.float32]:
    """Numbers less their mean in deviations, cut at ``outermost``; 0 where there is none (NaN). float32 [items]."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.clip(values / deviation - mean / deviation, -outermost, outermost)
    return np.where(np.isnan(values), 0.0, scaled).astype(np.float32)


def year_block(years: NDArray[np.float64], decades: Sequence[int], numbers: NDArray[np.float32]) -> NDArray[np.float32]:
    """A column a decade, and ``numbers``, the standardised years, in the last one: float32 [items, decades + 1]."""
    block = np.zeros((len(years), len(decades) + 1), np.float32)
    block[:, -1] = numbers
    known = np.flatnonzero(~np.isnan(years))
    place = {decade: column for column, decade in enumerate(decades)}
    for row in known:
        column = place.get(int(years[row]) // 10 * 10)
        if column is not None:
            block[row, column] = 1
    return block


def has_any(
    items: Iterable[ItemRecord], fields: Mapping[str, frozenset[str]], names: Iterable[str]
) -> NDArray[np.bool_]:
    """Which items have a value of a field (any, where `OTHER` is among its values) or a finite number: bool [items]."""
    wanted = tuple(names)
    return np.array(
        [
            any(
                value in values or OTHER in values
                for field, values in fields.items()
                for value in item.attributes.get(field, ())
            )
            or any(math.isfinite(item.numbers.get(name, math.nan)) for name in wanted)
            for item in items
        ],
        dtype=np.bool_,
    )
