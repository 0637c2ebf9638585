"""Trains one rival. Started by `rivals.py` with the Python of the rivals' own environment; imports nothing of fedrec.

``python rivals_worker.py STUDY.npz SCORES.npy MODEL SETTINGS-AS-JSON``: reads training items (and features), writes
float32 scores [users, items], and prints one line of JSON: seconds of training, and versions.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import cornac
import numpy as np
import torch
from cornac.data import Dataset, ImageModality

SEED = 0


class Triples(Dataset):  # type: ignore[misc]
    """Cornac's data set, which draws a negative (any item that the user lacks) for a whole batch at once.

    The library draws them one by one, by the same law: on a million interactions that would take most of the time.
    """

    def uij_iter(
        self, batch_size: int = 1, shuffle: bool = False, neg_sampling: str = "uniform"
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Batches of users, their items, and items that they lack."""
        users, items, _ = self.uir_tuple
        has = np.zeros((self.num_users, self.num_items), np.bool_)
        has[users, items] = True
        for places in self.idx_iter(len(users), batch_size, shuffle):
            owner = users[places]
            drawn = self.rng.randint(self.num_items, size=len(owner))
            while len(again := np.flatnonzero(has[owner, drawn])):
                drawn[again] = self.rng.randint(self.num_items, size=len(again))
            yield owner, items[places], drawn


def model_of(name: str, settings: dict[str, Any], interactions: int) -> Any:
    """One of Cornac's recommenders, with these settings on top of the library's own.

    ``steps`` stands for as many epochs as come to so many batches.
    """
    if steps := settings.pop("steps", 0):
        settings["num_epochs"] = math.ceil(steps * settings["batch_size"] / interactions)
    if name == "MultiVAE":
        return cornac.models.VAECF(seed=SEED, **settings)
    if name == "EASE":
        return cornac.models.EASE(seed=SEED, verbose=False, **settings)
    if name == "Popularity":
        return cornac.models.MostPop(**settings)
    return getattr(cornac.models, name)(seed=SEED, verbose=False, **settings)


def scores_of(model: Any, data: Triples, users: int, items: int) -> np.ndarray:
    """Float32 [users, items]. Whom or what training never met gets the lowest score of a row."""
    item_at = np.array([data.iid_map.get(item, -1) for item in range(items)])
    known = item_at >= 0
    found = np.zeros((users, items), np.float32)
    for user, place in data.uid_map.items():
        row = np.asarray(model.score(place), dtype=np.float32).ravel()
        found[user, known] = row[item_at[known]]
        found[user, ~known] = row.min() - 1.0
    return found


def main() -> None:
    """Read, train, score, write."""
    study, out, name, given = sys.argv[1:]
    torch.set_num_threads(1)
    with np.load(study) as arrays:
        users, items = len(arrays["indptr"]) - 1, int(arrays["catalogue"])
        owner = np.repeat(np.arange(users), np.diff(arrays["indptr"]))
        pairs = [(int(user), int(item), 1.0) for user, item in zip(owner, arrays["items"], strict=True)]
        data = Triples.build(pairs, seed=SEED)
        order = np.array(list(data.iid_map), dtype=np.int64)
        data.add_modalities(item_image=ImageModality(features=arrays["features"][order].astype(np.float32)))
    model = model_of(name, json.loads(given), len(pairs))
    began = time.process_time()
    model.fit(data)
    seconds = time.process_time() - began
    np.save(out, scores_of(model, data, users, items))
    versions = {package: version(package) for package in ("cornac", "dgl", "torch", "numpy")}
    print(json.dumps({"cpu_seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
