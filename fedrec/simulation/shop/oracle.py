"""The oracle: the true affinities of a shop, which bound what any recommender can reach on it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedrec.errors import DataError
from fedrec.ranking.metrics import hit_rate, ndcg, standing
from fedrec.simulation.shop.catalogue import item_id
from fedrec.simulation.shop.latents import HIDDEN, TEXT, VISUAL, WIDTH, Floats, LatentItems, affinity
from fedrec.simulation.shop.private import user_id

TRUTH = "oracle.safetensors"
PARTS = {"text": TEXT, "visual": VISUAL, "hidden": HIDDEN}
_CHUNK = 512


@dataclass(frozen=True, eq=False)
class Oracle:
    """What nobody but the shop's maker knows. Items and users stand in the order of items.csv and users.csv.

    ``taste``: float32 [users, 8].
    """

    items: LatentItems
    taste: Floats

    @property
    def item_ids(self) -> tuple[str, ...]:
        """Ids of the items, by place."""
        return tuple(item_id(place) for place in range(len(self.items)))

    @property
    def user_ids(self) -> tuple[str, ...]:
        """Ids of the users, by place."""
        return tuple(user_id(place) for place in range(len(self.taste)))

    def scores(self, user_places: NDArray[np.integer]) -> Floats:
        """True affinity of each named user to every item: float32 [len(user_places), items]."""
        return affinity(self.taste[user_places], self.items)


def save_oracle(directory: Path, items: LatentItems, taste: Floats) -> None:
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


def oracle_quality(directory: Path) -> dict[str, float]:
    """The oracle's ``hr@10`` and ``ndcg@10``, 0 to 1: each user's test item against the 99 items of loo_99neg.csv.

    Ties count half. Raises DataError where the directory holds no whole shop.
    """
    oracle = load_oracle(directory)
    users, test, negatives = _read_evaluation(Path(directory), oracle)
    hits = gains = 0.0
    for start in range(0, len(users), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        scores = oracle.scores(users[chunk])
        others = np.take_along_axis(scores, negatives[chunk], axis=1)
        target = np.take_along_axis(scores, test[chunk, None], axis=1)[:, 0]
        at = standing(target, others, np.ones(others.shape, dtype=bool))
        hits += float(hit_rate(at, 10).sum())
        gains += float(ndcg(at, 10).sum())
    return {"hr@10": hits / len(users), "ndcg@10": gains / len(users)}


def _read_evaluation(directory: Path, oracle: Oracle) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    path = directory / "loo_99neg.csv"
    user_place = {user: place for place, user in enumerate(oracle.user_ids)}
    item_place = {item: place for place, item in enumerate(oracle.item_ids)}
    users, test, negatives = [], [], []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                users.append(user_place[row["user"]])
                test.append(item_place[row["test_item"]])
                negatives.append([item_place[item] for item in row["negatives"].split(" ")])
        lists = np.asarray(negatives, dtype=np.int64).reshape(len(users), -1)
    except (OSError, KeyError, ValueError, AttributeError) as error:
        action = "Give a directory that write_shop made, or make it again"
        raise DataError(f"not the evaluation file of this shop: {error!r}", path=path, action=action) from None
    if not users:
        raise DataError("the evaluation file names no user", path=path, action="Make the shop again")
    return np.asarray(users, dtype=np.int64), np.asarray(test, dtype=np.int64), lists
