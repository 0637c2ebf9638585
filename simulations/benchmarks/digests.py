"""Digests of what runs release and of what their ledgers charge, to show that a change of code changes neither.

    python -m simulations.benchmarks.digests DATA --config CONFIG.toml [CONFIG.toml ...] --out FILE.json
    python -m simulations.benchmarks.digests DATA --config CONFIG.toml --out NEW.json --against FILE.json

The first writes, for each config, a SHA-256 of every array of the release and of every noisy sum, beside the noise that
the ledger charged for it.  The second also compares, says what differs, and leaves with 1 if anything does.  Both are
of one machine and one number of threads (``OMP_NUM_THREADS``): elsewhere the last digits of a solver may differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from fedrec.config import load
from fedrec.console import open_reporter, say
from fedrec.privacy.ledger import Ledger
from fedrec.server.run_files import LEDGER, RELEASE
from fedrec.simulation.run import simulate

_SHOWN = 16


def digests_of(config: Path, data: Path) -> dict[str, Any]:
    """Run a config, and take the digests of its release and ledger."""
    with tempfile.TemporaryDirectory() as scratch, open_reporter(silent=True) as reporter:
        out = Path(scratch) / "run"
        simulate(load(config), data, out, reporter=reporter)
        with Ledger.open(out / LEDGER) as ledger:
            return {"arrays": dict(_arrays(out / RELEASE)), "ledger": [list(row) for row in _rows(ledger)]}


def _arrays(release: Path) -> Iterator[tuple[str, str]]:
    for file in sorted(release.glob("*.safetensors")):
        if file.name.startswith("encoder-"):
            continue
        for name, array in sorted(load_file(file).items()):
            text = array.dtype.str.encode() + str(array.shape).encode() + array.tobytes()
            yield name, hashlib.sha256(text).hexdigest()[:_SHOWN]


def _rows(ledger: Ledger) -> Iterator[tuple[Any, ...]]:
    for row in ledger.entries():
        cost = row.cost
        noise = None if cost is None else (cost.noise_multiplier, cost.sampling, cost.probability)
        apart = None if cost is None else cost.minimum_separation
        yield row.query, row.round, *(noise or (None, None, None)), apart, (row.detail.get("released") or "")[:_SHOWN]


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs, a sentence for each part of each config; of configs that only one side has, nothing is said."""
    found = []
    for config in sorted(set(old) & set(new)):
        for part in ("arrays", "ledger"):
            if json.dumps(old[config][part], sort_keys=True) != json.dumps(new[config][part], sort_keys=True):
                found.append(f"{config}: {part} differ")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--config", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--against", type=Path)
    asked = parser.parse_args(arguments)
    found = json.loads(asked.out.read_text(encoding="utf-8")) if asked.out.exists() else {}
    for config in asked.config:
        found[config.stem] = digests_of(config, asked.data)
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        say(f"{config.stem}: {len(found[config.stem]['arrays'])} arrays, {len(found[config.stem]['ledger'])} rows")
    if asked.against is None:
        return 0
    said = differences(json.loads(asked.against.read_text(encoding="utf-8")), found)
    say("\n".join(said) or "the same arrays and the same ledgers")
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
