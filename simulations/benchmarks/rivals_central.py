"""Models of the field's libraries, trained centrally and without privacy, in environments of their own.

Each is trained on the users' training items once for each of a few settings; the one with the best NDCG@10 of the
*validation* item is taken, and trained again with the validation item among the user's items.  So it knows when it
ranks for the test item what fedrec's devices know then.  It also trains on the validation items, which fedrec does not:
that is in the rivals' favour.  Nothing looks at the test item before.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.content.feature_table import Features
from simulations.benchmarks.rivals_study import RivalStudy, Target, figures, measured

_HERE = Path(__file__).parent
_SASREC = {"loss_type": "CE", "train_neg_sample_args": None, "train_batch_size": 1024}


@dataclass(frozen=True)
class Library:
    """A library: what trains with it, what its environment needs, and the settings of each of its models.

    The library's own settings come first ({}) where they can be afforded; then widths and rates as its examples and
    the models' papers have them.  ``ordered``: models that only make sense where the order of events is known.
    """

    worker: str
    requirements: str
    models: Mapping[str, Sequence[Mapping[str, Any]]]
    ordered: tuple[str, ...] = ()


LIBRARIES: Final[Mapping[str, Library]] = {
    "Cornac": Library(
        "rivals_worker.py",
        "rivals-requirements.txt",
        {
            "Popularity": [{}],
            "EASE": [{}, {"lamb": 200, "posB": False}, {"lamb": 500, "posB": False}, {"lamb": 1000, "posB": False}],
            "BPR": [
                {},
                {"k": 64, "learning_rate": 0.01, "lambda_reg": 0.01},
                {"k": 64, "learning_rate": 0.05, "lambda_reg": 0.01},
            ],
            "MultiVAE": [{}, {"k": 64, "autoencoder_structure": [200], "beta": 0.2}],
            "VBPR": [{"batch_size": 1024}, {"k": 32, "k2": 32, "batch_size": 1024, "lambda_w": 0.05}],
            "LightGCN": [{"learning_rate": 0.01, "batch_size": 32768, "steps": 800}],
        },
    ),
    "RecBole": Library(
        "rivals_recbole_worker.py",
        "rivals-recbole-requirements.txt",
        {
            "EASE": [{}, {"reg_weight": 100.0}, {"reg_weight": 500.0}],
            "ItemKNN": [{}, {"k": 200, "shrink": 10.0}],
            "RecVAE": [{"epochs": 60, "train_batch_size": 256}],
            "LightGCN": [{"epochs": 40, "learning_rate": 0.005, "train_batch_size": 4096, "reg_weight": 1e-4}],
            "SASRec": [_SASREC | {"epochs": 10, "MAX_ITEM_LIST_LENGTH": 20}],
        },
        ordered=("SASRec",),
    ),
}


def names() -> list[str]:
    """All rivals, as ``Library Model``."""
    return [f"{library} {model}" for library, one in LIBRARIES.items() for model in one.models]


def prepared(study: RivalStudy, directory: Path) -> dict[str, Path]:
    """What a rival may see, as files: without and with the validation items; never the test items."""
    directory.mkdir(parents=True, exist_ok=True)
    content = content_of(study.content)
    found = {}
    for name, known in (("valid", study.held.training), ("test", study.histories("test"))):
        found[name] = directory / f"known-{name}.npz"
        np.savez(found[name], indptr=known.indptr, items=known.items, catalogue=study.items, features=content)
    return found


def content_of(features: Features) -> NDArray[np.float32]:
    """Texts and pictures side by side, [items, width]: each with a mean length of 1, zero where an item lacks it."""
    parts = [np.zeros((len(features.ids), 1), np.float32)]
    for name in ("text", "image"):
        if name in features.values:
            values = features.values[name]
            flat = values.reshape(len(values), -1).astype(np.float32) * features.present[name][:, None]
            parts.append(flat / max(float(np.linalg.norm(flat, axis=1).mean()), 1e-9))
    return np.concatenate(parts, axis=1)


def environment(directory: Path, library: str) -> Path:
    """The Python of a library's environment, made where it is not there."""
    place = directory / library.lower()
    python = place / "bin" / "python"
    requirements = _HERE / LIBRARIES[library].requirements
    wanted = requirements.read_text(encoding="utf-8")
    stamp = place / "fedrec-rivals.txt"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        venv.EnvBuilder(with_pip=True).create(place)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "-r", str(requirements)], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def trained(python: Path, study: Path, out: Path, rival: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one rival in its own process on one thread; its scores are left in ``out``."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1",
        "DGLBACKEND": "pytorch",
    }
    library, model = rival.split(" ", 1)
    command = [*map(str, (python, _HERE / LIBRARIES[library].worker, study, out)), model, json.dumps(settings)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def results(study: RivalStudy, rival: str, python: Path, out: Path) -> dict[str, Any]:
    """A rival's record: its best settings, trained with the validation item; kept in ``out``, one file a setting."""
    library, model = rival.split(" ", 1)
    files = prepared(study, out)
    tried = [_kept(study, rival, python, out, files["valid"], one) for one in LIBRARIES[library].models[model]]
    best = chosen(tried)
    last = _kept(study, rival, python, out, files["test"], best["settings"])
    return {
        **{name: last[name] for name in ("rival", "settings", "cpu_seconds", "versions")},
        "tried": len(tried),
        "quality": last["quality"]["test"],
        "quality_unseen": best["quality"]["test"],
    }


def chosen(tried: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record with the best NDCG@10 of the validation item."""
    return max(tried, key=lambda one: float(one["quality"]["valid"]["ndcg"]))


def _kept(
    study: RivalStudy, rival: str, python: Path, out: Path, known: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The record of one training; what is finished is not trained again."""
    text = json.dumps([rival, settings, known.stem], sort_keys=True)
    record = out / f"{rival.replace(' ', '-')}-{known.stem}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    if not record.is_file():
        left = record.with_suffix(".npy")
        facts = trained(python, known, left, rival, settings)
        scores = np.load(left)
        left.unlink()
        targets: tuple[Target, ...] = ("valid", "test") if known.stem == "known-valid" else ("test",)
        quality = {
            target: figures(measured(lambda users: np.asarray(scores[users]), study.held, target)) for target in targets
        }
        found = {"rival": rival, "settings": dict(settings), **facts, "quality": quality}
        record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(study.name, rival, json.dumps(settings), json.dumps(quality), flush=True)
    found = json.loads(record.read_text(encoding="utf-8"))
    return dict(found)
