"""What fused encoders give: before training, by training, and beside closed forms, at several budgets: a table.

``python -m simulations.benchmarks.encoders DATA --out DIR``.  All rows spend the same epsilon, on different sums; the
noise of training is that of its share of the budget.  Finished runs are kept, by their whole config.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.config import load
from fedrec.console import PlainReporter, jsonable
from fedrec.simulation.privacy.sweep_runs import SweepJob, epsilons_of, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

CONFIG: Final = Path(__file__).parents[1] / "configs" / "encoders.toml"
_PUBLIC: Final = 'collaborative.prior.modalities={"text": 1.0, "attributes": 0.8, "image": 0.1}'
# Of what is used together as good as nothing is asked, and nothing is made of it.
_NO_FACTORS: Final = (
    "collaborative.power_iteration.steps=0",
    "collaborative.power_iteration.scale=1e-6",
    "privacy.shares.factors=0.001",
)
_NO_TOWER: Final = ("model.tower=false", _PUBLIC)
_UNTRAINED: Final = ("training.rounds=0",)
_BESIDE: Final = (_PUBLIC, "collaborative.scoring.weight=0.8")
_ALONE: Final = (
    "collaborative.popularity=false",
    "collaborative.power_iteration.enabled=false",
    "collaborative.power_iteration.steps=0",
    "collaborative.prior.weight=0",
    "collaborative.prior.modalities={}",
    "collaborative.fold_in=null",
    "collaborative.scoring.weight=0",
    "collaborative.scoring.discount=0",
)
ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "content kernel and popularity": (*_NO_FACTORS, *_NO_TOWER),
    "  untrained tower in the kernel": (*_NO_FACTORS, *_UNTRAINED),
    "  trained tower in the kernel": (*_NO_FACTORS, "privacy.shares.training=0.2"),
    "closed form": _NO_TOWER,
    "  untrained tower in the kernel ": _UNTRAINED,
    "  trained tower in the kernel ": (),
    "  untrained tower beside it": (*_UNTRAINED, *_BESIDE),
    "  trained tower beside it": _BESIDE,
    "untrained tower alone": (*_UNTRAINED, *_ALONE),
    "trained tower alone": _ALONE,
}
_HEAD: Final = ("row", "epsilon", "HR@10", "NDCG@10", "HR@10, all items", "NDCG@10, all items", "parameters", "seconds")
_SAID: Final = (
    "Content kernel and popularity: nothing is asked of what items are used together. Closed form: private power",
    "iteration beside it. In the kernel: the tower's item vectors are one more modality of the content kernel, whose",
    "kernel the sums are read with. Beside it: the tower's score, of weight .2. Untrained: heads fitted to public",
    "content, for which nothing is asked and nothing is spent.",
)


def jobs_of(
    names: Sequence[str], overrides: Sequence[str], epsilons: Sequence[float], seeds: Sequence[int], out: Path
) -> dict[tuple[str, float], list[SweepJob]]:
    """The runs of every row and epsilon."""
    found = {}
    for name in names:
        config = load(CONFIG, [*ROWS[name], *overrides])
        slug = f"{list(ROWS).index(name):02d}"
        for epsilon in epsilons:
            found[name, epsilon] = [job_of(slug, config, epsilon, seed, out) for seed in seeds]
    return found


def row_of(name: str, epsilon: float, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line of the table: a row at a budget, over its seeds."""
    quality = [
        figure_of(runs, "quality", kind, at) for kind in ("loo-99neg", "loo-full") for at in ("hr@10", "ndcg@10")
    ]
    parameters, seconds = mean_of(runs, "model", "parameters_shared"), mean_of(runs, "cost", "seconds")
    shown = name.strip() if not name.startswith(" ") else f"… {name.strip()}"
    return [shown, name_of(epsilon), *quality, f"{parameters or 0:,.0f}", f"{seconds or 0:.0f}"]


def markdown(data: str, rows: Sequence[Sequence[str]], seeds: int, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        f"## {data}",
        "",
        f"Mean and standard deviation over {seeds} seed{'s' if seeds > 1 else ''}, user level, test items.",
        "",
        f"`{command}`",
        "",
        *rows_as_markdown(_HEAD, rows, 1),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Do the runs that are missing; write ``encoders.md`` and ``encoders.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epsilon", default="8,3,1", help="with commas between; inf = no noise")
    parser.add_argument("--rows", nargs="+", type=int, default=list(range(len(ROWS))), help="which rows, from 0")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of all runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    names = [list(ROWS)[place] for place in asked.rows]
    cells = jobs_of(names, asked.set, epsilons_of(asked.epsilon)[::-1], range(asked.seeds), asked.out)
    jobs = [job for cell in cells.values() for job in cell]
    runs = iter(run_jobs(jobs, asked.data, workers=asked.workers, reporter=PlainReporter()))
    found = {cell: [next(runs) for _ in its] for cell, its in cells.items()}
    ordered = sorted(found, key=lambda cell: (-cell[1], names.index(cell[0])))
    rows = [row_of(name, epsilon, found[name, epsilon]) for name, epsilon in ordered]
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR").replace(str(asked.data), asked.data.name)
    command = f"python -m simulations.benchmarks.encoders {given}"
    text = markdown(asked.data.name, rows, asked.seeds, command)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "encoders.md").write_text("\n".join([*_SAID, "", text]), encoding="utf-8")
    record = {"head": _HEAD, "rows": rows, "command": command}
    (asked.out / "encoders.json").write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
