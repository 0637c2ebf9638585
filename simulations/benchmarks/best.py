"""The best models: quality, epsilon and time of given configs over seeds, each run held to its ledger.

``python -m simulations.benchmarks.best DATA --config CONFIG.toml ... --out DIR``.  Each run's ledger is examined as
``fedrec privacy verify`` does; a run that is not what it says ends the benchmark.  Finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.api.load_run import load_run
from fedrec.config import load
from fedrec.console import PlainReporter, jsonable
from fedrec.errors import PrivacyError
from fedrec.simulation.privacy.sweep_runs import SweepJob, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

_HEAD: Final = (
    "config",
    "epsilon",
    "HR@10",
    "NDCG@10",
    "HR@10, all items",
    "NDCG@10, all items",
    "epsilon spent",
    "seconds",
    "bytes up a device",
)


def row_of(job: SweepJob, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line of the table: a config over its seeds."""
    found = [job.variant.name, name_of(job.epsilon)]
    found += [figure_of(runs, "quality", kind, at) for kind in ("loo-99neg", "loo-full") for at in ("hr@10", "ndcg@10")]
    spent = mean_of(runs, "privacy", "epsilon_released")
    found.append("none" if spent is None else f"{spent:.2f}")
    seconds = max(float(run["cost"]["seconds"]) for run in runs)
    sent = mean_of(runs, "secure_aggregation", "bytes_up_per_device_total") or 0.0
    return [*found, f"{seconds:.0f}", f"{sent:,.0f}"]


def markdown(name: str, rows: Sequence[Sequence[str]], seeds: int, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        f"# The best models on {name}",
        "",
        f"Mean and standard deviation over {seeds} seeds, test items, against 99 negatives and all items. Each",
        "run's ledger was examined as by `fedrec privacy verify`. Seconds: the slowest run, content encoded before.",
        "",
        f"`{command}`",
        "",
    ]
    return "\n".join([*lines, *rows_as_markdown(_HEAD, rows, 1), ""])


def check(jobs: Sequence[SweepJob]) -> None:
    """Examine each run's ledger. Raises PrivacyError on the first run that is not what it says."""
    for job in jobs:
        failed = [found.name for found in load_run(job.out) if not found.passed]
        if failed:
            raise PrivacyError("a run is not what it says", value=f"{job.out.name}: {failed}", action="Run it again")


def main() -> None:
    """Do the runs that are missing; write ``best.md`` and ``best.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", nargs="+", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    jobs = []
    for path in asked.config:
        config = load(path, [])
        epsilon = math.inf if config.privacy.epsilon is None else config.privacy.epsilon
        jobs += [job_of(path.stem, config, epsilon, seed, asked.out) for seed in range(asked.seeds)]
    runs = run_jobs(jobs, asked.data, workers=asked.workers, reporter=PlainReporter())
    check(jobs)
    each = asked.seeds
    rows = [row_of(jobs[at], runs[at : at + each]) for at in range(0, len(jobs), each)]
    names = " ".join(path.name for path in asked.config)
    command = f"python -m simulations.benchmarks.best {asked.data.name} --out DIR --config {names}"
    (asked.out / "best.md").write_text(markdown(asked.data.name, rows, each, command), encoding="utf-8")
    kept = [
        {"config": job.variant.name, "seed": job.seed, "quality": run["quality"], "cost": run["cost"]}
        for job, run in zip(jobs, runs, strict=True)
    ]
    (asked.out / "best.json").write_text(json.dumps(jsonable(kept), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
