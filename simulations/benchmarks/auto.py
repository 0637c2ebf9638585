"""Preset ``auto`` on data that it was not told about: quality at several budgets, and beside popularity for few users.

``python -m simulations.benchmarks.auto DATA... --out DIR``: every data set with one config, ``simulations/configs/
auto.toml``, at no noise and epsilon 8, 3 and 1, over seeds.  ``--users 50,100,300`` instead takes so many of each
set's users, drawn by the seed, at epsilon 8 and 1, and compares with private popularity at the same budget.  Each run's
ledger is examined as ``fedrec privacy verify`` does.  Finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from fedrec.config import Config, load
from fedrec.console import PlainReporter
from fedrec.data.schema import Dataset, Interactions, LeaveOneOut
from fedrec.data.sources import read_data
from fedrec.run_warnings import PRIVATE_POPULARITY
from fedrec.simulation.privacy.sweep_runs import SweepJob, run_jobs
from simulations.benchmarks.best import check
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

CONFIG: Final = Path(__file__).parents[1] / "configs" / "auto.toml"
_HEAD: Final = (
    "data",
    "users x items",
    "epsilon",
    "HR@10",
    "NDCG@10",
    "HR@10, all items",
    "NDCG@10, all items",
    "private popularity",
    "chosen",
    "seconds",
)


def some_users(dataset: Dataset, count: int, seed: int) -> Dataset:
    """So many of a data set's users, drawn by ``seed``, with all that is theirs; the catalogue stays."""
    places = np.sort(np.random.default_rng(seed).permutation(len(dataset.users))[:count])
    table, given = dataset.interactions, dataset.evaluation
    kept = np.isin(table.user, places)
    columns = {name: getattr(table, name)[kept] for name in ("item", "rating", "timestamp", "split")}
    user = np.searchsorted(places, table.user[kept]).astype(np.int32)
    few = None if given is None else LeaveOneOut(given.valid[places], given.test[places], given.negatives[places])
    return replace(
        dataset,
        name=f"{dataset.name}-{count}",
        users=tuple(dataset.users[place] for place in places),
        interactions=Interactions(user=user, **columns),
        evaluation=few,
        notes={new: dataset.notes[old] for new, old in enumerate(places.tolist()) if old in dataset.notes},
        photos={new: dataset.photos[old] for new, old in enumerate(places.tolist()) if old in dataset.photos},
    )


def rows_of(name: str, jobs: Sequence[SweepJob], runs: Sequence[Mapping[str, Any]], seeds: int) -> Iterator[list[str]]:
    """A line of the table for each ``seeds`` runs."""
    for at in range(0, len(jobs), seeds):
        few = runs[at : at + seeds]
        figures = [figure_of(few, "quality", kind, key) for kind in ("loo-99neg", "loo-full") for key in _KEYS]
        level = figure_of(few, "baselines", PRIVATE_POPULARITY, "hr@10")
        data = few[0]["data"]
        chosen = sorted({str((run.get("selection") or {}).get("chosen")) for run in few})
        seconds = max(float(run["cost"]["seconds"]) for run in few)
        size = f"{data['users']:,} x {data['items']:,}"
        yield [name, size, name_of(jobs[at].epsilon), *figures, level, "; ".join(chosen), f"{seconds:.0f}"]


_KEYS: Final = ("hr@10", "ndcg@10")


def below_popularity(runs: Sequence[Mapping[str, Any]], seeds: int) -> int:
    """How many lines have a model below private popularity in HR@10, means over seeds."""
    found = 0
    for at in range(0, len(runs), seeds):
        own = mean_of(runs[at : at + seeds], "quality", "loo-99neg", "hr@10")
        level = mean_of(runs[at : at + seeds], "baselines", PRIVATE_POPULARITY, "hr@10")
        found += own is not None and level is not None and own < level
    return found


def markdown(rows: Sequence[Sequence[str]], seeds: int, below: int | None, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        "# Preset `auto`",
        "",
        "One config for all, user level, delta N^-1.1, the private selection inside epsilon. Mean and deviation over",
        f"{seeds} seeds, test items. Chosen: by the devices, of candidates in `fedrec/queries/readings.py`. Private",
        "popularity: HR@10 by counts with the noise that they would have for the whole budget. Seconds: slowest run.",
        "",
        f"`{command}`",
        "",
        *rows_as_markdown(_HEAD, rows, 2),
        "",
    ]
    if below is not None:
        lines += [f"Lines below private popularity: {below} of {len(rows)}.", ""]
    return "\n".join(lines)


def measured(
    config: Config,
    source: Path,
    out: Path,
    *,
    epsilons: Sequence[float],
    seeds: int,
    users: Sequence[int],
    workers: int,
) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """Lines and runs of one data set."""
    dataset, rows, found = read_data(source), [], []
    for count in users or (0,):
        jobs, runs = [], []
        for epsilon in epsilons:
            for seed in range(seeds):
                job = job_of(f"{source.name}-{count or 'all'}", config, epsilon, seed, out)
                few = some_users(dataset, count, seed) if count else dataset
                runs += run_jobs([job], few, workers=workers, reporter=PlainReporter())
                jobs.append(job)
        check(jobs)
        rows += list(rows_of(source.name, jobs, runs, seeds))
        found += runs
    return rows, found


def main() -> None:
    """Do the runs that are missing; write ``auto.md`` and ``auto.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="data directories")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epsilons", default="")
    parser.add_argument("--users", default="", help="so many of the users, with commas between")
    asked = parser.parse_args()
    users = [int(part) for part in asked.users.split(",") if part]
    names = asked.epsilons.split(",") if asked.epsilons else ["8", "1"] if users else ["inf", "8", "3", "1"]
    rows: list[list[str]] = []
    runs: list[dict[str, Any]] = []
    for source in asked.data:
        more, found = measured(
            load(CONFIG, []),
            source,
            asked.out,
            epsilons=[float(name) for name in names],
            seeds=asked.seeds,
            users=users,
            workers=1,
        )
        rows, runs = rows + more, runs + found
    sets = " ".join(source.name for source in asked.data)
    command = f"python -m simulations.benchmarks.auto {sets} --out DIR --seeds {asked.seeds}"
    command += f" --users {asked.users}" if users else ""
    below = below_popularity(runs, asked.seeds) if users else None
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "auto.md").write_text(markdown(rows, asked.seeds, below, command), encoding="utf-8")
    kept = [{name: run[name] for name in ("data", "quality", "baselines", "selection", "cost")} for run in runs]
    text = json.dumps(kept, indent=1, default=lambda value: None if math.isnan(value) else value)
    (asked.out / "auto.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
