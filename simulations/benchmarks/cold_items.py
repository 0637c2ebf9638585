"""Items that nobody has used, on all data sets: a fifth of the catalogue kept out of training and ranked among itself.

``python -m simulations.benchmarks.cold_items DATA [DATA ...] --out DIR``: ``simulations/configs/cold-items.toml``,
without noise and with a content tower, and ``simulations/configs/newcomers.toml``, without a tower, at each epsilon;
neither is tuned for the data.  Finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, load
from fedrec.console import PlainReporter, jsonable
from fedrec.simulation.privacy.sweep_runs import epsilons_of, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

CONFIGS: Final = Path(__file__).parents[1] / "configs"
_HEAD: Final = ("data", "config", "epsilon", "cold items", "users", "HR@10", "NDCG@10", "times chance", "warm HR@10")
_COLD: Final = ("quality", "cold-items")


def config_of(name: str) -> Config:
    """A config, with a fifth of the items kept out of training and no other measure."""
    return load(
        CONFIGS / f"{name}.toml", ["evaluation.cold=0.2", "evaluation.history_at_most=[]", "evaluation.every=0"]
    )


def row_of(data: str, name: str, epsilon: float, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line of the table."""
    counts = [f"{mean_of(runs, *_COLD, count) or 0:,.0f}" for count in ("items", "users")]
    return [
        data,
        name,
        name_of(epsilon),
        *counts,
        *(figure_of(runs, *_COLD, metric) for metric in ("hr@10", "ndcg@10")),
        f"{mean_of(runs, *_COLD, 'times_chance') or 0:.1f}",
        figure_of(runs, "quality", "loo-99neg", "hr@10"),
    ]


def markdown(rows: Sequence[Sequence[str]], seeds: int, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        "# Cold items",
        "",
        "A fifth of the items (`evaluation.cold`) is in no history, sum or pool of negatives, only in the catalogue.",
        "Each cold item that a user really had is ranked against 99 cold items that the user did not have; means over",
        f"users, of {seeds} seed{'s' if seeds > 1 else ''}, which draw the cold items too. `cold-items` has a content",
        "tower and co-occurrence, `newcomers` private power iteration and no tower, and reads notes and photos where a",
        "user has any; neither is tuned for the data. Warm: the test item against 99 negatives, cold items among both.",
        "",
        f"`{command}`",
        "",
        *rows_as_markdown(_HEAD, rows, 3),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Do the runs that are missing; write ``cold_items.md`` and ``cold_items.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epsilon", default="inf,8", help="with commas between, for the config without a tower")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    cells = [("cold-items", math.inf)]
    cells += [("newcomers", epsilon) for epsilon in sorted(epsilons_of(asked.epsilon), reverse=True)]
    rows = []
    for data in asked.data:
        for name, epsilon in cells:
            jobs = [
                job_of(f"{data.name}-{name}", config_of(name), epsilon, seed, asked.out) for seed in range(asked.seeds)
            ]
            runs = run_jobs(jobs, data, workers=asked.workers, reporter=PlainReporter())
            rows.append(row_of(data.name, name, epsilon, runs))
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR")
    for data in asked.data:
        given = given.replace(str(data), data.name)
    command = f"python -m simulations.benchmarks.cold_items {given}"
    text = markdown(rows, asked.seeds, command)
    (asked.out / "cold_items.md").write_text(text, encoding="utf-8")
    record = {"head": _HEAD, "rows": rows, "command": command}
    (asked.out / "cold_items.json").write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
