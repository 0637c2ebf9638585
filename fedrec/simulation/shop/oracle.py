"""The oracle: the true affinities of a shop, which bound what any recommender can reach on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedrec.errors import DataError
from fedrec.simulation.shop.catalogue import item_id
from fedrec.simulation.shop.latents import HIDDEN, TEXT, VISUAL, WIDTH, Floats32, LatentItems, affinity
from fedrec.simulation.shop.people import user_id
from fedrec.simulation.truth import TRUTH

PARTS = {"text": TEXT, "visual": VISUAL, "hidden": HIDDEN}


@dataclass(frozen=True, eq=False)
class Oracle:
    """What nobody but the shop's maker knows. Items and users stand in the order of items.csv and users.csv.

    ``taste``: float32 [users, 8].
    """

    items: LatentItems
    taste: Floats32

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of the items, by place."""
        return tuple(item_id(place) for place in range(len(self.items)))

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Ids of the users, by place."""
        return tuple(user_id(place) for place in range(len(self.taste)))

    def scores(self, user_places: NDArray[np.integer]) -> Floats32:
        """True affinity of each named user to every item: float32 [len(user_places), items]."""
        return affinity(self.taste[user_places], self.items)


def save_oracle(directory: Path, items: LatentItems, taste: Floats32) -> None:
    """Write oracle.safetensors: the parts by name for items and users, and the items' bias; all float32."""
    arrays = {f"item_{name}": np.ascontiguousarray(items.parts[:, part]) for name, part in PARTS.items()}
    arrays |= {f"user_{name}": np.ascontiguousarray(taste[:, part]) for name, part in PARTS.items()}
    save_file(arrays | {"item_bias": items.bias}, directory / TRUTH)


def load_oracle(directory: Path) -> Oracle:
    """Read a shop's oracle. Raises DataError where there is none or it is damaged."""
    path = Path(directory) / TRUTH
    action = "Give a directory that write_shop made, or make it again"
    try:
        arrays = load_file(path)
        parts = np.concatenate([arrays[f"item_{name}"] for name in PARTS], axis=1)
        taste = np.concatenate([arrays[f"user_{name}"] for name in PARTS], axis=1)
        bias = arrays["item_bias"]
    except FileNotFoundError:
        raise DataError("no such file: this directory holds no shop", path=path, action=action) from None
    except (SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"not the oracle of a shop: {error}", path=path, action=action) from None
    if parts.shape != (len(bias), WIDTH) or taste.shape[1] != WIDTH:
        raise DataError("the oracle's arrays do not fit together", path=path, value=parts.shape, action=action)
    return Oracle(items=LatentItems(parts=parts, bias=bias), taste=taste)
