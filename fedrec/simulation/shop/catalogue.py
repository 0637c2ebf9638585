"""The shop's catalogue: each item's name, words, picture, sound, and attributes that say only a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.simulation.shop.latents import TEXT, VISUAL, LatentItems, stream
from fedrec.simulation.shop.pictures import draw_picture
from fedrec.simulation.shop.sounds import make_sound
from fedrec.simulation.shop.words import description, title

# (category, its products, its usual price): in the order of the outlines that pictures draws.
CATEGORIES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("Lighting", ("lantern", "lamp"), 60.0),
    ("Kitchen", ("mug", "cup"), 18.0),
    ("Bags", ("backpack", "satchel"), 85.0),
    ("Seating", ("chair", "stool"), 140.0),
    ("Clocks", ("clock", "table clock"), 45.0),
    ("Vases", ("vase", "jug"), 35.0),
    ("Cushions", ("cushion", "pillow"), 25.0),
    ("Bottles", ("bottle", "flask"), 22.0),
)
GENRES = ("Home", "Travel", "Office", "Garden", "Kids", "Gifts")
BRANDS = ("Aldermoor", "Brightwell", "Corvane", "Dunmere", "Eastlight", "Fennick", "Grovely", "Harrowby")
HINT = 0.5  # how strongly genre and brand depend on the seen parts of an item: weakly
FIELDS = ("item", "title", "genres", "category", "brand", "text", "price")

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ShopItem:
    """An item as published, and the place of its category."""

    id: str
    title: str
    genres: str
    category: int
    brand: str
    text: str
    price: float


def item_id(place: int) -> str:
    """The id of an item by its place, from 0. Ids sort like places up to 99,999 items."""
    return f"i{place + 1:05d}"


def describe_items(seed: int, items: LatentItems) -> list[ShopItem]:
    """Names, words and attributes of all items.

    Words depend on the text part, genre and brand a little on the text and visual parts, category on nothing, price
    on the category: the hidden part is in none of them.
    """
    rng = stream(seed, "item attributes")
    seen = np.concatenate([items.parts[:, TEXT], items.parts[:, VISUAL]], axis=1).astype(np.float64)
    genres = hinted(rng, seen, len(GENRES), picks=2)
    brands = hinted(rng, seen, len(BRANDS), picks=1)[:, 0]
    category = rng.integers(0, len(CATEGORIES), len(items))
    factor = np.exp(rng.normal(0.0, 0.3, len(items)))
    described = []
    for place in range(len(items)):
        words = stream(seed, "item words", place)
        _, products, price = CATEGORIES[category[place]]
        noun = products[words.integers(len(products))]
        latent = items.parts[place, TEXT]
        described.append(
            ShopItem(
                id=item_id(place),
                title=title(words, latent, noun),
                genres="|".join(GENRES[g] for g in sorted(genres[place])),
                category=int(category[place]),
                brand=BRANDS[brands[place]],
                text=description(words, latent, noun),
                price=float(price * factor[place]),
            )
        )
    return described


def write_media(out: Path, seed: int, items: LatentItems, described: list[ShopItem], progress: Progress | None) -> None:
    """Write images/<item>.jpg and sounds/<item>.wav below ``out``."""
    for folder in ("images", "sounds"):
        (out / folder).mkdir()
    for place, item in enumerate(described):
        picture = draw_picture(stream(seed, "item picture", place), items.parts[place, VISUAL], item.category)
        (out / "images" / f"{item.id}.jpg").write_bytes(picture)
        sound = make_sound(stream(seed, "item sound", place), items.parts[place])
        if sound is not None:
            (out / "sounds" / f"{item.id}.wav").write_bytes(sound)
        if progress is not None and (place + 1) % 100 == 0:
            progress(place + 1, len(items), "items")
    if progress is not None:
        progress(len(items), len(items), "items")


def hinted(
    rng: np.random.Generator,
    seen: NDArray[np.float64],
    count: int,
    *,
    picks: int,
    leaning: np.random.Generator | None = None,
) -> NDArray[np.int64]:
    """For each item, ``picks`` different values of ``count``, each value leaning towards a direction of its own.

    ``leaning``: what the directions are drawn from; None: from ``rng`` too. Returns int64 [items, picks].
    """
    directions = (rng if leaning is None else leaning).standard_normal((seen.shape[1], count))
    leanings = HINT * seen @ directions / np.sqrt(seen.shape[1])
    noisy = leanings + rng.gumbel(size=leanings.shape)
    return np.argsort(-noisy, axis=1, kind="stable")[:, :picks]
