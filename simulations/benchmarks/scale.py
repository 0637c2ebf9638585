"""From how many users on training fused encoders beats not training them: shops of rising size, a tenth of them new.

``python -m simulations.benchmarks.scale --out DIR``.  The shops share one catalogue and differ in their number of
users; a tenth of the items is kept out of all training and ranked by its content.  Finished shops and runs are kept.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.config import load
from fedrec.console import PlainReporter
from fedrec.simulation.privacy.sweep_runs import SweepJob, epsilons_of, run_jobs
from fedrec.simulation.shop.generate import write_shop
from simulations.benchmarks.encoders import CONFIG, ROWS
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

SIZES: Final = (1_000, 3_000, 10_000, 30_000, 100_000)
SHOWN: Final = {
    "closed form": "closed form",
    "  untrained tower in the kernel ": "… untrained tower in the kernel",
    "  trained tower in the kernel ": "… trained tower in the kernel",
    "trained tower alone": "trained tower alone",
}
# Histories of a shop are of 24 events at most; the first users are measured, as many in every shop.
SETTINGS: Final = (
    "evaluation.cold=0.1",
    "evaluation.users=10000",
    "model.history=16",
    "training.negatives=48",
)
# Above so many users, each round of training asks a Poisson sample of about as many, and the tower alone is left out.
COHORT: Final = 10_000
_HEAD: Final = ("users", "epsilon", "row", "HR@10", "NDCG@10", "new items, HR@10", "new items, NDCG@10", "seconds")


def jobs_of(
    users: int, names: Sequence[str], overrides: Sequence[str], epsilons: Sequence[float], seeds: int, out: Path
) -> list[tuple[str, float, list[SweepJob]]]:
    """The runs over one shop: a row, a budget and its seeds."""
    found = []
    sampled = ("training.sampling=poisson", f"training.cohort={COHORT}") if users > COHORT else ()
    for epsilon in epsilons:
        for name in names:
            config = load(CONFIG, [*ROWS[name], *SETTINGS, *sampled, *overrides])
            slug = f"{users}-{list(ROWS).index(name):02d}"
            found.append((name, epsilon, [job_of(slug, config, epsilon, seed, out) for seed in range(seeds)]))
    return found


def row_of(users: int, name: str, epsilon: float, runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line of the table."""
    warm = [figure_of(runs, "quality", "loo-99neg", at) for at in ("hr@10", "ndcg@10")]
    new = [figure_of(runs, "quality", "cold-items", at) for at in ("hr@10", "ndcg@10")]
    seconds = mean_of(runs, "cost", "seconds")
    return [f"{users:,}", name_of(epsilon), SHOWN[name], *warm, *new, f"{seconds or 0:.0f}"]


def main() -> None:
    """Make the shops and do the runs that are missing; write ``scale.md`` after each shop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--users", nargs="+", type=int, default=list(SIZES))
    parser.add_argument("--items", type=int, default=1_000, help="of the catalogue, the same for all shops")
    parser.add_argument("--epsilon", default="8,1", help="with commas between; inf = no noise")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of all runs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR")
    rows: list[list[str]] = []
    for users in asked.users:
        shop = asked.out / "shops" / f"shop-{users}"
        if not (shop / "interactions.csv").exists():
            write_shop(shop, users=users, items=asked.items, private_users=0)
        names = [name for name in SHOWN if users <= COHORT or "alone" not in name]
        cells = jobs_of(users, names, asked.set, epsilons_of(asked.epsilon)[::-1], asked.seeds, asked.out)
        jobs = [job for _, _, its in cells for job in its]
        runs = iter(run_jobs(jobs, shop, workers=asked.workers, reporter=PlainReporter()))
        rows += [row_of(users, name, epsilon, [next(runs) for _ in its]) for name, epsilon, its in cells]
        table = "\n".join(rows_as_markdown(_HEAD, rows, 3))
        text = f"`python -m simulations.benchmarks.scale {given}`\n\n{table}\n"
        (asked.out / "scale.md").write_text(text, encoding="utf-8")
    print((asked.out / "scale.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
