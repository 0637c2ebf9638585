"""What notes and photos give newcomers: histories cut to a few events, with and without what the user made.

``python -m simulations.benchmarks.newcomers DATA [DATA ...] --out DIR``: for each data set and budget one run a seed of
``simulations/configs/newcomers.toml`` with and one without ``collaborative.scoring.evidence``.  Finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, load
from fedrec.console import DASH, PlainReporter, jsonable
from fedrec.simulation.newcomers import ALL, WITHOUT
from fedrec.simulation.privacy.sweep_runs import SweepJob, epsilons_of, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

CONFIG: Final = Path(__file__).parents[1] / "configs" / "newcomers.toml"
_HEAD: Final = (
    "data",
    "epsilon",
    "events known",
    "fixed weights",
    "by evidence, nothing of their own",
    "by evidence",
    "notes and photos",
)
_PROTOCOL: Final = "loo-99neg"
_CUT: Final = ("quality", "history-at-most")


def config_of(evidence: bool) -> Config:
    """The benchmark's settings, with parts weighed by evidence or as they stand in the config."""
    return load(CONFIG, [f"collaborative.scoring.evidence={str(evidence).lower()}"])


def rows_of(
    data: str, epsilon: float, fixed: Sequence[Mapping[str, Any]], weighed: Sequence[Mapping[str, Any]]
) -> list[list[str]]:
    """A line for each length of history: HR@10 / NDCG@10 with fixed weights, and by evidence without and with notes."""
    names = [str(length) for length in config_of(True).evaluation.history_at_most] + [ALL]
    return [
        [
            data,
            name_of(epsilon),
            name,
            _both(fixed, *_CUT, name),
            _both(weighed, *_CUT, name, WITHOUT),
            _both(weighed, *_CUT, name),
            _gain(weighed, name),
        ]
        for name in names
    ]


def _both(runs: Sequence[Mapping[str, Any]], *path: str) -> str:
    return " / ".join(figure_of(runs, *path, _PROTOCOL, metric) for metric in ("hr@10", "ndcg@10"))


def _gain(runs: Sequence[Mapping[str, Any]], name: str) -> str:
    bare, whole = (mean_of(runs, *_CUT, name, *part, _PROTOCOL, "hr@10") for part in ((WITHOUT,), ()))
    return DASH if bare is None or whole is None or not bare else f"{whole / bare - 1:+.1%}"


def markdown(rows: Sequence[Sequence[str]], seeds: int, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        "# Newcomers, and what they wrote and photographed",
        "",
        f"HR@10 / NDCG@10 of the test item against 99 negatives, mean of {seeds} seed{'s' if seeds > 1 else ''}. A",
        "device knows the last 0, 1 or 3 events of its user, or all, and the user's own notes and photos; training is",
        "as it was. *Fixed weights*: `collaborative.scoring.evidence` off, where notes and photos count by a tower",
        "only (there is none here) and somebody without events gets a list in no order. *By evidence*: on, with",
        "popularity; first as if nobody had notes or photos, then with them. The last column: what they add, in HR@10.",
        "The constants of `fedrec/ranking/evidence.py` were chosen by looking at the test items of these sets and of",
        "ml100k, so these are no figures of sets that were not seen. Without noise the seeds change nothing.",
        "",
        f"`{command}`",
        "",
        *rows_as_markdown(_HEAD, rows, 3),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Do the runs that are missing; write ``newcomers.md`` and ``newcomers.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", help="data directories")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epsilon", default="inf,8", help="with commas between; inf = no noise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    rows = []
    for data in asked.data:
        for epsilon in sorted(epsilons_of(asked.epsilon), reverse=True):
            jobs: list[SweepJob] = [
                job_of(
                    f"{data.name}-{'weighed' if evidence else 'fixed'}", config_of(evidence), epsilon, seed, asked.out
                )
                for evidence in (False, True)
                for seed in range(asked.seeds)
            ]
            runs = run_jobs(jobs, data, workers=asked.workers, reporter=PlainReporter())
            rows += rows_of(data.name, epsilon, runs[: asked.seeds], runs[asked.seeds :])
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR")
    for data in asked.data:
        given = given.replace(str(data), data.name)
    command = f"python -m simulations.benchmarks.newcomers {given}"
    text = markdown(rows, asked.seeds, command)
    (asked.out / "newcomers.md").write_text(text, encoding="utf-8")
    record = {"head": _HEAD, "rows": rows, "command": command}
    (asked.out / "newcomers.json").write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
