"""fedrec's rivals on the same files and by the same protocol: a page of tables.

``python -m simulations.benchmarks.rivals DATA [DATA ...] --out DIR [--environments DIR] [--ours RUN.json ...]``:

- private alternating least squares and federated training with personal score functions, our own implementations
  (`rivals_private`), at epsilon 8, 3, 1 and without noise;
- Cornac's and RecBole's models, central and without privacy (`rivals_central`), in environments of their own that hold
  nothing of fedrec; without ``--environments`` they are left out;
- fedrec's own lines from the ``run.json`` that are given.

What is finished of the rivals stands in ``--out`` and is not run again.  ``rivals.json`` beside this file holds the
records of the page there: ``--records simulations/benchmarks/rivals.json --ours RUN.json ... --out DIR``, without DATA,
makes the page with other lines of fedrec and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from simulations.benchmarks import rivals_central, rivals_private
from simulations.benchmarks.rivals_study import RivalStudy, study_of
from simulations.benchmarks.rivals_table import Tables, joined, markdown, ours


def records(study: RivalStudy, asked: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """All rivals' records on one data set."""
    out: Path = asked.out / study.name
    found: dict[str, list[dict[str, Any]]] = {"private": [], "central": []}
    for name, method in rivals_private.METHODS.items():
        if name in asked.rivals:
            found["private"] += rivals_private.results(study, method, out, asked.seeds)
    if asked.environments is None:
        return found
    for name in rivals_central.names():
        library, model = name.split(" ", 1)
        unordered = model in rivals_central.LIBRARIES[library].ordered and not study.ordered
        if name in asked.rivals and not unordered:
            python = rivals_central.environment(asked.environments, library)
            found["central"].append(rivals_central.results(study, name, python, out))
    return found


def main() -> None:
    """Run what is missing, and write ``rivals.md`` and ``rivals.json``."""
    every = [*rivals_private.METHODS, *rivals_central.names()]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="*", help="data directories")
    parser.add_argument("--out", type=Path, required=True, help="directory for the records and the page")
    parser.add_argument("--environments", type=Path, help="where the libraries' own environments are, or go")
    parser.add_argument("--ours", type=Path, nargs="*", default=[], help="run.json of fedrec's runs on these data sets")
    parser.add_argument("--records", type=Path, help="a rivals.json: its records stand beside those that are run")
    parser.add_argument("--rivals", nargs="+", default=every, choices=every)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each private or federated rival")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    tables: Tables = {} if asked.records is None else json.loads(asked.records.read_text(encoding="utf-8"))
    for data in asked.data:
        tables = joined(tables, {data.name: records(study_of(data), asked)})
    (asked.out / "rivals.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    own: Tables = {name: {"private": lines} for name, lines in ours(asked.ours).items()}
    page = asked.out / "rivals.md"
    page.write_text(markdown(joined(tables, own)), encoding="utf-8")
    print(page.read_text(encoding="utf-8"), file=sys.stderr)


if __name__ == "__main__":
    main()
