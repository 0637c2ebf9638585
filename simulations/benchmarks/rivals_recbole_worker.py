"""Trains one rival of RecBole. Started by `rivals_central.py` with the Python of RecBole's own environment.

``python rivals_recbole_worker.py STUDY.npz SCORES.npy MODEL SETTINGS-AS-JSON``: as `rivals_worker.py`, with RecBole
(Zhao et al. 2021, "RecBole: Towards a Unified, Comprehensive and Efficient Framework for Recommendation Algorithms").
Imports nothing of fedrec.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.interaction import Interaction
from recbole.data.utils import create_samplers, get_dataloader
from recbole.utils import ModelType, get_model, get_trainer, init_seed

SEED = 0
_BLOCK = 256


def prepared(directory: Path, name: str, settings: dict[str, Any], owner: np.ndarray, items: np.ndarray) -> Config:
    """Write the interactions in RecBole's format; all of them train, nothing is held out there."""
    place = directory / "study"
    place.mkdir()
    rows = [f"u{user}\ti{item}\t{at}" for at, (user, item) in enumerate(zip(owner, items, strict=True))]
    head = "user_id:token\titem_id:token\ttimestamp:float"
    (place / "study.inter").write_text("\n".join([head, *rows, ""]), encoding="utf-8")
    always = {
        "data_path": str(directory),
        "checkpoint_dir": str(directory / "saved"),
        "seed": SEED,
        "reproducibility": True,
        "use_gpu": False,
        "show_progress": False,
        "state": "ERROR",
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"split": {"RS": [1.0, 0.0, 0.0]}, "order": "TO", "group_by": "none", "mode": "full"},
        "worker": 0,
    }
    return Config(model=name, dataset="study", config_dict=always | settings)


def trained(config: Config, dataset: Any) -> Any:
    """The model after its epochs; there is no early stopping, since epochs are among the settings."""
    init_seed(SEED, True)
    built = dataset.build()
    sampler, _, _ = create_samplers(config, dataset, built)
    loader = get_dataloader(config, "train")(config, built[0], sampler, shuffle=config["shuffle"])
    model = get_model(config["model"])(config, loader.dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], config["model"])(config, model)
    trainer.fit(loader, valid_data=None, verbose=False, saved=False, show_progress=False)
    model.eval()
    return model


def scores_of(model: Any, dataset: Any, config: Config, owner: np.ndarray, items: np.ndarray, catalogue: int) -> Any:
    """Float32 [users, items]; what training never met gets the lowest score of a row."""
    users = int(owner.max()) + 1
    places = dataset.field2token_id["item_id"]
    at = np.array([places.get(f"i{item}", 0) for item in range(catalogue)])
    known = at > 0
    found = np.zeros((users, catalogue), np.float32)
    names = dataset.field2token_id["user_id"]
    there = np.array([user for user in range(users) if f"u{user}" in names])
    for start in range(0, len(there), _BLOCK):
        block = there[start : start + _BLOCK]
        asked = {"user_id": torch.tensor([names[f"u{user}"] for user in block])}
        if config["MODEL_TYPE"] == ModelType.SEQUENTIAL:
            asked |= _sequences(block, owner, at[items], config["MAX_ITEM_LIST_LENGTH"])
        with torch.no_grad():
            rows = model.full_sort_predict(Interaction(asked)).reshape(len(block), -1).numpy()[:, at]
        rows = np.where(np.isfinite(rows), rows, np.finfo(np.float32).min / 4)
        found[block] = np.where(known, rows, rows[:, known].min(axis=1, keepdims=True) - 1.0)
    return found


def _sequences(block: np.ndarray, owner: np.ndarray, places: np.ndarray, longest: int) -> dict[str, torch.Tensor]:
    """The last items of each user, as a sequential model reads them."""
    table, lengths = torch.zeros((len(block), longest), dtype=torch.long), []
    for row, user in enumerate(block):
        last = places[owner == user][-longest:]
        table[row, : len(last)] = torch.from_numpy(last)
        lengths.append(len(last))
    return {"item_id_list": table, "item_length": torch.tensor(lengths)}


def main() -> None:
    """Read, train, score, write."""
    study, out, name, given = sys.argv[1:]
    torch.set_num_threads(1)
    with np.load(study) as arrays:
        catalogue, items = int(arrays["catalogue"]), arrays["items"]
        owner = np.repeat(np.arange(len(arrays["indptr"]) - 1), np.diff(arrays["indptr"]))
        users = len(arrays["indptr"]) - 1
    sys.argv = sys.argv[:1]  # RecBole reads the command line
    with tempfile.TemporaryDirectory() as directory:
        config = prepared(Path(directory), name, json.loads(given), owner, items)
        dataset = create_dataset(config)
        began = time.process_time()
        model = trained(config, dataset)
        seconds = time.process_time() - began
        scores = scores_of(model, dataset, config, owner, items, catalogue)
    np.save(out, np.concatenate([scores, np.zeros((users - len(scores), catalogue), np.float32)]))
    versions = {package: version(package) for package in ("recbole", "torch", "numpy")}
    print(json.dumps({"cpu_seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main()
