"""Attributes as features: categories as multi-hot blocks, numbers standardised, the year of a title by its decade."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrec.content.attribute_rows import OTHER, given_numbers, has_any, multi_hot, standardised, year_block
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Problem, Progress, array_of, field_of
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError

MOST_VALUES = 256
"""Columns of one categorical field; rarer values share the last one."""
YEARS = (1850, 2100)
OUTERMOST = 3.0
"""Standardised numbers are cut here, so that one typing slip does not outweigh everything else."""
_AT_A_TIME = 16_384
_YEAR = re.compile(r"\((\d{4})\)\s*$")


def title_year(title: str) -> int | None:
    """The year in brackets at the end of a title, ``Heat (1995)``, between 1850 and 2100; else None."""
    found = _YEAR.search(title)
    year = int(found.group(1)) if found else 0
    return year if YEARS[0] <= year <= YEARS[1] else None


@dataclass(frozen=True)
class Category:
    """A categorical field: its values, most frequent first; `OTHER` is last where rarer ones were folded into it."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class AttributeEncoder(Encoder[ItemRecord]):
    """An item to blocks of columns, side by side: one block a field, a number, and the year.

    A categorical block holds 1 / sqrt(k) for each of the item's k values, so its products count shared values. The
    year's block holds one column a decade and one for the standardised year. Each block is centred on the items that
    have it, so that sharing a rare value says more than sharing a common one, and scaled to the same root mean square
    norm, a whole row about 1. A block that an item lacks is zero, which is the catalogue's mean.

    ``columns`` names each column (``genres=Drama``, ``price``, ``year=1990s``), for explanations.
    """

    modality: ClassVar[str] = "attributes"
    kind: ClassVar[str] = "attributes"

    categories: tuple[Category, ...]
    numbers: tuple[tuple[str, float, float], ...]
    """name, mean, deviation"""
    decades: tuple[int, ...]
    year: tuple[float, float]
    centre: NDArray[np.float32]
    gains: NDArray[np.float32]

    @classmethod
    def fit(cls, batch: Iterable[ItemRecord], settings: None = None) -> AttributeEncoder:
        """Take fields, values and scales from the catalogue; fields are in alphabetical order.

        Raises:
            ContentError: no item has an attribute, a finite number or a year.
        """
        kept = batch if isinstance(batch, Collection) else tuple(batch)
        years = [year for item in kept if (year := title_year(item.title)) is not None]
        decades = tuple(range(min(years) // 10 * 10, max(years) + 1, 10)) if years else ()
        raw = cls(_categories(kept), _numbers(kept), decades, _mean_deviation(years), *2 * (np.zeros(0, np.float32),))
        if not raw.columns:
            raise ContentError(
                "no item of the catalogue has an attribute", action="Leave 'attributes' out of content.modalities"
            )
        blocks = raw._blocks()
        values = np.concatenate([raw._rows(part)[0] for part in _parts(kept)])
        scales = [_centre_and_gain(values[:, block], len(blocks)) for block in blocks]
        centre, gains = (np.concatenate(part).astype(np.float32) for part in zip(*scales, strict=True))
        return replace(raw, centre=centre, gains=gains)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"attributes.1 values={MOST_VALUES}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The name of each column."""
        named = [f"{category.field}={value}" for category in self.categories for value in category.values]
        named += [name for name, _, _ in self.numbers]
        return (*named, *(f"year={decade}s" for decade in self.decades), *(("year",) if self.decades else ()))

    @property
    def shape(self) -> tuple[int, ...]:
        """(columns,)"""
        return (len(self.columns),)

    def encode(self, batch: Sequence[ItemRecord], *, progress: Progress | None = None) -> Encoded:
        """Encode items. A number that is not finite counts as missing and is reported; see `Encoder.encode`."""
        out = self.empty(len(batch))
        problems: list[Problem] = []
        done = 0
        for items in _parts(batch):
            part = slice(done, done + len(items))
            rows, wrong = self._rows(items)
            for block in self._blocks():
                having = rows[:, block].any(axis=1, keepdims=True)
                scaled = (rows[:, block] - self.centre[block]) * self.gains[block]
                out.values[part, block] = np.where(having, scaled, 0.0)
            out.present[part] = self._have_something(items)
            problems += [Problem(done + place, reason) for place, reason in wrong]
            done += len(items)
            if progress is not None:
                progress(done, len(batch), "attributes")
        return Encoded(out.values, out.present, tuple(problems))

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        meta: Meta = {
            "categories": [[category.field, list(category.values)] for category in self.categories],
            "numbers": [list(number) for number in self.numbers],
            "decades": list(self.decades),
            "year": list(self.year),
        }
        return {"centre": self.centre, "gains": self.gains}, meta

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> AttributeEncoder:
        """See `Encoder.from_state`."""
        try:
            categories = tuple(
                Category(str(field), tuple(str(value) for value in values)) for field, values in meta["categories"]
            )
            numbers = tuple((str(name), float(mean), float(spread)) for name, mean, spread in meta["numbers"])
            mean, spread = meta["year"]
            decades = tuple(int(decade) for decade in field_of(meta, "decades", list))
            year = (float(mean), float(spread))
            restored = cls(categories, numbers, decades, year, *2 * (np.zeros(0, np.float32),))
        except (KeyError, TypeError, ValueError):
            raise ContentError("saved attributes are damaged", action="Build the features again") from None
        width = len(restored.columns)
        return replace(restored, centre=array_of(arrays, "centre", (width,)), gains=array_of(arrays, "gains", (width,)))

    def _blocks(self) -> list[slice]:
        sizes = [len(category.values) for category in self.categories] + [1] * len(self.numbers)
        sizes += [len(self.decades) + 1] if self.decades else []
        ends = np.cumsum(sizes).tolist()
        return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]

    def _rows(self, items: Sequence[ItemRecord]) -> tuple[NDArray[np.float32], list[tuple[int, str]]]:
        """Blocks before scaling, float32 [items, columns]; and numbers that are not finite, by place and in words."""
        parts = [multi_hot(category.field, category.values, items) for category in self.categories]
        wrong: list[tuple[int, str]] = []
        for name, mean, deviation in self.numbers:
            values, bad = given_numbers(name, items)
            parts.append(standardised(values, mean, deviation, OUTERMOST)[:, None])
            wrong += bad
        if self.decades:
            years = np.array([title_year(item.title) or np.nan for item in items], np.float64)
            parts.append(year_block(years, self.decades, standardised(years, *self.year, OUTERMOST)))
        wrong.sort(key=lambda one: one[0])
        return np.concatenate(parts or [np.zeros((len(items), 0), np.float32)], axis=1), wrong

    def _have_something(self, items: Sequence[ItemRecord]) -> NDArray[np.bool_]:
        """Which items have any field that the encoder knows, be its standardised value exactly zero."""
        fields = {category.field: frozenset(category.values) for category in self.categories}
        found = has_any(items, fields, [name for name, _, _ in self.numbers])
        if self.decades:
            found |= np.array([title_year(item.title) is not None for item in items], dtype=np.bool_)
        return found


def says_something(items: Iterable[ItemRecord]) -> bool:
    """Whether any item has an attribute, a finite number or a year: whether there is anything to fit an encoder on."""
    return any(
        any(item.attributes.values())
        or any(map(math.isfinite, item.numbers.values()))
        or title_year(item.title) is not None
        for item in items
    )


def _parts(items: Iterable[ItemRecord]) -> Iterator[list[ItemRecord]]:
    """Items some at a time, so that what is between them and their columns stays small."""
    waiting = iter(items)
    while part := list(islice(waiting, _AT_A_TIME)):
        yield part


def _categories(items: Iterable[ItemRecord]) -> tuple[Category, ...]:
    counts: dict[str, Counter[str]] = {}
    for item in items:
        for field, values in item.attributes.items():
            counts.setdefault(field, Counter()).update(set(values))
    categories = []
    for field in sorted(counts):
        ranked = [value for value, _ in sorted(counts[field].items(), key=lambda pair: (-pair[1], pair[0]))]
        if len(ranked) > MOST_VALUES:
            ranked = [*ranked[: MOST_VALUES - 1], OTHER]
        if ranked:
            categories.append(Category(field, tuple(ranked)))
    return tuple(categories)


def _numbers(items: Iterable[ItemRecord]) -> tuple[tuple[str, float, float], ...]:
    found: dict[str, list[float]] = {}
    for item in items:
        for name, value in item.numbers.items():
            if math.isfinite(value):
                found.setdefault(name, []).append(value)
    return tuple((name, *_mean_deviation(found[name])) for name in sorted(found))


def _mean_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and deviation, computed on values scaled to at most 1 so that huge ones do not overflow."""
    if not values:
        return 0.0, 1.0
    exact = np.asarray(values, np.float64)
    largest = max(float(np.abs(exact).max()), 1e-300)
    mean, deviation = float((exact / largest).mean()), float((exact / largest).std())
    return mean * largest, deviation * largest if deviation > 1e-9 else 1.0


def _centre_and_gain(block: NDArray[np.float32], blocks: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of the rows that hold something, and the factor that gives these, centred, a mean square of 1 / blocks.

    A block in which all of them are equal says nothing and gets the factor 0.
    """
    rows = block[block.any(axis=1)].astype(np.float64)
    centre = rows.mean(axis=0) if len(rows) else np.zeros(block.shape[1])
    square = float(((rows - centre) ** 2).sum(axis=1).mean()) if len(rows) else 0.0
    gain = 1.0 / math.sqrt(square * blocks) if square > 1e-9 else 0.0
    return centre, np.full(block.shape[1], gain)
