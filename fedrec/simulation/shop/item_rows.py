"""The shop's items as published, block by block: what both forms of a shop, CSV and Parquet, are written from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from fedrec.simulation.shop.bulk_words import titles_and_texts
from fedrec.simulation.shop.catalogue import BRANDS, CATEGORIES, GENRES, ShopItem, describe_items, hinted, item_id
from fedrec.simulation.shop.latents import TEXT, VISUAL, LatentItems, stream
from fedrec.simulation.shop.sizes import BULK_ITEMS

BLOCK: Final = 65_536


@dataclass(frozen=True)
class ItemRows:
    """Some items, column-wise: each list has one entry an item. ``genres``: joined by ``|``. ``price``: to the cent."""

    item: list[str]
    title: list[str]
    genres: list[str]
    category: list[str]
    brand: list[str]
    text: list[str]
    price: list[float]

    def __len__(self) -> int:
        return len(self.item)


def item_rows(seed: int, items: LatentItems, described: list[ShopItem] | None = None) -> Iterator[ItemRows]:
    """All items in order. ``described``: what `describe_items` gives of a small shop, where it is at hand."""
    if len(items) >= BULK_ITEMS:
        for start in range(0, len(items), BLOCK):
            yield _bulk(seed, items, start)
        return
    found = describe_items(seed, items) if described is None else described
    yield ItemRows(
        item=[one.id for one in found],
        title=[one.title for one in found],
        genres=[one.genres for one in found],
        category=[CATEGORIES[one.category][0] for one in found],
        brand=[one.brand for one in found],
        text=[one.text for one in found],
        price=[float(f"{one.price:.2f}") for one in found],
    )


def _bulk(seed: int, items: LatentItems, start: int) -> ItemRows:
    """Items from ``start`` on, drawn as `describe_items` draws them, but from one generator a block."""
    parts = items.parts[start : start + BLOCK]
    rng = stream(seed, "items in bulk", start)
    # What genres and brands lean towards is the same in every block.
    leaning = stream(seed, "leanings in bulk")
    seen = np.concatenate([parts[:, TEXT], parts[:, VISUAL]], axis=1).astype(np.float64)
    genres = np.sort(hinted(rng, seen, len(GENRES), picks=2, leaning=leaning), axis=1)
    brands = hinted(rng, seen, len(BRANDS), picks=1, leaning=leaning)[:, 0]
    category = rng.integers(0, len(CATEGORIES), len(parts))
    noun = rng.integers(0, 2, len(parts))
    usual = np.array([price for _, _, price in CATEGORIES])
    price = np.round(usual[category] * np.exp(rng.normal(0.0, 0.3, len(parts))), 2)
    products = np.array([names for _, names, _ in CATEGORIES], dtype=object)
    titles, texts = titles_and_texts(rng, parts[:, TEXT], products[category, noun])
    pairs = np.array([[f"{first}|{second}" for second in GENRES] for first in GENRES], dtype=object)
    return ItemRows(
        item=[item_id(place) for place in range(start, start + len(parts))],
        title=titles.tolist(),
        genres=pairs[genres[:, 0], genres[:, 1]].tolist(),
        category=np.array([name for name, _, _ in CATEGORIES], dtype=object)[category].tolist(),
        brand=np.array(BRANDS, dtype=object)[brands].tolist(),
        text=texts.tolist(),
        price=price.tolist(),
    )
