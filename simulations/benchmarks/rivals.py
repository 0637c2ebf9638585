"""Models of the field's libraries, trained centrally and without privacy on the same files, measured with our metrics.

``python -m simulations.benchmarks.rivals DATA [DATA ...] --out DIR --environment DIR`` makes an environment with
Cornac (Salah, Truong & Lauw 2020, "Cornac: A Comparative Framework for Multimodal Recommender Systems") and nothing of
fedrec in it, trains each rival there on each user's training items, and measures the scores here, with the code that
measures fedrec: the test item against the file's 99 negatives, and against all that the user did not touch.

Of a rival's few settings below the one with the best NDCG@10 of the *validation* item is taken; nothing looks at the
test item before.  What is finished is not trained again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config import ContentSettings
from fedrec.content.cache import cache_directory
from fedrec.content.catalogue import Catalogue
from fedrec.content.feature_table import Features
from fedrec.content.features import build_features
from fedrec.data.reader import read_dataset
from fedrec.data.splits import Split, split
from fedrec.ranking.protocols import Evaluation, HeldOut, evaluate

_HERE = Path(__file__).parent
_BLOCK = 256
# The library's own settings first ({}); then widths and rates as its examples and the models' papers have them.
RIVALS: Final[Mapping[str, Sequence[Mapping[str, Any]]]] = {
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
}


def prepared(data: Path, out: Path) -> tuple[Split, int]:
    """What a rival may see of a data directory, written to ``out``: training items and content, nothing held out."""
    dataset = read_dataset(data)
    held = split(dataset)
    settings = ContentSettings(modalities=("text", "image"))
    features, _ = build_features(
        Catalogue.from_dataset(dataset), settings, cache=cache_directory(), ready=dataset.features
    )
    known, catalogue = held.training, len(dataset.items)
    np.savez(out, indptr=known.indptr, items=known.items, catalogue=catalogue, features=content_of(features))
    return held, catalogue


def content_of(features: Features) -> NDArray[np.float32]:
    """All modalities side by side, [items, width]: each with a mean length of 1, zero where an item lacks it."""
    parts = [np.zeros((len(features.ids), 1), np.float32)]
    for name, values in features.values.items():
        flat = values.reshape(len(values), -1).astype(np.float32) * features.present[name][:, None]
        parts.append(flat / max(float(np.linalg.norm(flat, axis=1).mean()), 1e-9))
    return np.concatenate(parts, axis=1)


def measured(scores: NDArray[np.float32], held: Split, target: str) -> Evaluation:
    """Both protocols; ``target``: ``valid`` or ``test``, the other one is no candidate."""
    found, other = (held.valid, held.test) if target == "valid" else (held.test, held.valid)
    out = HeldOut(held.training, found, other, held.negatives)
    starts = range(0, len(scores), _BLOCK)
    return evaluate(((np.arange(s, min(s + _BLOCK, len(scores))), scores[s : s + _BLOCK]) for s in starts), out)


def environment(directory: Path) -> Path:
    """The Python of the rivals' environment, made where it is not there."""
    python = directory / "bin" / "python"
    wanted = (_HERE / "rivals-requirements.txt").read_text(encoding="utf-8")
    stamp = directory / "fedrec-rivals.txt"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        venv.EnvBuilder(with_pip=True).create(directory)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "-r", str(_HERE / "rivals-requirements.txt")], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


def trained(python: Path, study: Path, out: Path, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Train one rival in its own process on one thread; its scores are left in ``out``."""
    alone = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "OMP_NUM_THREADS": "1",
        "DGLBACKEND": "pytorch",
    }
    command = [*map(str, (python, _HERE / "rivals_worker.py", study, out)), name, json.dumps(settings)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def results(data: Path, out: Path, python: Path, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One record a rival and setting, kept in ``out`` as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    held, _ = prepared(data, out / "study.npz")
    for name in names:
        for settings in RIVALS[name]:
            text = json.dumps([name, settings], sort_keys=True)
            record = out / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
            if not record.is_file():
                left = record.with_suffix(".npy")
                facts = trained(python, out / "study.npz", left, name, settings)
                scores = np.load(left)
                left.unlink()
                quality = {target: _figures(measured(scores, held, target)) for target in ("valid", "test")}
                found = {"rival": name, "settings": dict(settings), **facts, "quality": quality}
                record.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                print(name, json.dumps(settings), json.dumps(quality), flush=True)
            yield json.loads(record.read_text(encoding="utf-8"))


def _figures(found: Evaluation) -> dict[str, float | None]:
    few, full = found.loo_99neg, found.loo_full
    return {"hr": few.hr, "ndcg": few.ndcg, "full_hr": full.hr, "full_ndcg": full.ndcg}


def best(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of each rival the record with the best NDCG@10 of the validation item."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in records:
        before = found.get(one["rival"])
        if before is None or one["quality"]["valid"]["ndcg"] > before["quality"]["valid"]["ndcg"]:
            found[one["rival"]] = one
    return list(found.values())


def markdown(tables: Mapping[str, Sequence[Mapping[str, Any]]], command: str) -> str:
    """One table a data set, and how it was made."""
    versions = next(iter(tables.values()))[0]["versions"]
    lines = [
        "# Rivals, trained centrally and without privacy on the same files",
        "",
        "The test item against the file's 99 negatives, and against all that the user did not touch; measured by",
        "`fedrec.ranking.protocols`, as fedrec is (ties count half). Training sees all but each user's validation and",
        "test item. VBPR reads fedrec's own text and picture features. Settings not named are the library's; where",
        "several were tried, the validation item chose, never the test item. One seed, one thread.",
        "",
        f"{', '.join(f'{name} {value}' for name, value in versions.items())}. `{command}`",
    ]
    for name, records in tables.items():
        lines += ["", f"## {name}", "", "| rival | settings | tried | HR@10 | NDCG@10 | HR@10 of all | NDCG@10 of all"]
        lines[-1] += " | CPU seconds |"
        lines.append("|---|---|" + "---:|" * 6)
        for one in sorted(best(records), key=lambda record: record["quality"]["test"]["ndcg"]):
            cells = [one["rival"], ", ".join(f"{k}={v}" for k, v in one["settings"].items()) or "defaults"]
            cells.append(str(sum(other["rival"] == one["rival"] for other in records)))
            cells += [f"{one['quality']['test'][key]:.3f}" for key in ("hr", "ndcg", "full_hr", "full_ndcg")]
            lines.append("| " + " | ".join([*cells, f"{one['cpu_seconds']:.0f}"]) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Train what is missing, and write ``rivals.md``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories")
    parser.add_argument("--out", type=Path, required=True, help="directory for the records and the table")
    parser.add_argument("--environment", type=Path, required=True, help="where the rivals' own environment is, or goes")
    parser.add_argument("--rivals", nargs="+", default=list(RIVALS), choices=list(RIVALS))
    asked = parser.parse_args()
    python = environment(asked.environment)
    tables = {data.name: list(results(data, asked.out / data.name, python, asked.rivals)) for data in asked.data}
    names = " ".join(data.name for data in asked.data)
    command = f"python -m simulations.benchmarks.rivals {names} --out DIR --environment DIR"
    (asked.out / "rivals.md").write_text(markdown(tables, command), encoding="utf-8")
    print((asked.out / "rivals.md").read_text(encoding="utf-8"), file=sys.stderr)


if __name__ == "__main__":
    main()
