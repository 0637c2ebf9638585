"""What each modality gives, alone and fused, at several budgets, for warm and cold users and items: a table.

``python -m simulations.benchmarks.modalities DATA --out DIR --config inf=OPEN.toml 8=PRIVATE.toml 1=PRIVATE.toml``.
The configs say what all modalities fused are; a modality alone is the same config without the others.  Cold items are
measured in runs of their own, since keeping a fifth of the items out of training makes all other figures worse.
Finished runs are kept, by their whole config.
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
from fedrec.errors import ConfigError
from fedrec.simulation.privacy.sweep_runs import Job, epsilons_of, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

FUSED: Final = "all fused"
BEHAVIOUR: Final = "behaviour"
_CONFIGS: Final = Path(__file__).parents[1] / "configs"
_NO_TABLES: Final = (
    "model.reads=[]",
    "model.graph=none",
    "model.id_embedding=false",
    "collaborative.feature_columns=0",
)
_NO_BEHAVIOUR: Final = (
    "collaborative.popularity=false",
    "collaborative.cooccurrence.enabled=false",
    "collaborative.power_iteration.enabled=false",
    "collaborative.power_iteration.steps=0",
    "collaborative.prior.weight=0",
    "collaborative.prior.modalities={}",
    "collaborative.scoring.weight=0",
    "collaborative.scoring.popularity_weight=0",
    "collaborative.fold_in=null",
)
_GROUPS: Final = {
    "users, few events": "users-few",
    "users, many": "users-many",
    "items, head": "items-head",
    "items, tail": "items-tail",
}
_HEAD: Final = ("modality", "epsilon", "HR@10", "NDCG@10", *_GROUPS, "cold items", "times chance")


def changes_of(config: Config) -> dict[str, tuple[str, ...]]:
    """The settings, as ``section.key=value``, that leave one modality of a config alone; none of all fused."""
    found: dict[str, tuple[str, ...]] = {}
    found |= {name: _content_alone(name, config) for name in config.content.modalities}
    if config.collaborative.pairwise:
        found[BEHAVIOUR] = _behaviour_alone(config)
    return found | {FUSED: ()}


def _content_alone(name: str, config: Config) -> tuple[str, ...]:
    own = {"text": "notes", "image": "photos"}
    without = [f"model.{own_piece}=false" for modality, own_piece in own.items() if modality != name]
    # The auxiliary task would let attributes in by the back door.
    without += [] if name == "attributes" else ["training.auxiliary=0"]
    without += ["training.pool=uniform", "training.alignment=0", "model.tower=true"]
    if "training" not in config.privacy.shares:
        without.append("privacy.shares.training=1")
    return (f'content.modalities=["{name}"]', *without, *_NO_TABLES, *_NO_BEHAVIOUR)


def _behaviour_alone(config: Config) -> tuple[str, ...]:
    alone = ["model.tower=false", "model.notes=false", "model.photos=false", "training.auxiliary=0"]
    alone += [
        "training.stopping=null",
        "collaborative.prior.weight=0",
        "collaborative.prior.modalities={}",
        "collaborative.scoring.weight=1",
    ]
    if config.collaborative.power_iteration.enabled:  # these begin from a content kernel; co-occurrence needs none
        alone += [
            "collaborative.power_iteration.enabled=false",
            "collaborative.power_iteration.steps=0",
            "collaborative.cooccurrence.enabled=true",
        ]
        shares = config.privacy.shares
        if "cooccurrence" not in shares and "factors" in shares:
            alone.append(f"privacy.shares.cooccurrence={shares['factors']}")
    return (*alone, *_NO_TABLES)


def jobs_of(
    configs: Mapping[float, Path], overrides: Sequence[str], seeds: Sequence[int], cold: float, out: Path
) -> dict[tuple[str, float, bool], list[Job]]:
    """The runs of every cell: of a modality, an epsilon, and whether cold items are kept out."""
    found: dict[tuple[str, float, bool], list[Job]] = {}
    for epsilon, path in configs.items():
        for name, changes in changes_of(load(path, overrides)).items():
            for share in (0.0, cold) if cold else (0.0,):
                config = load(path, [*overrides, *changes, f"evaluation.cold={share}"])
                short = name.replace(" ", "-") + ("-cold" if share else "")
                jobs = [job_of(short, config, epsilon, seed, out) for seed in seeds]
                found[name, epsilon, bool(share)] = jobs
    return found


def row_of(
    name: str, epsilon: float, warm: Sequence[Mapping[str, Any]], cold: Sequence[Mapping[str, Any]]
) -> list[str]:
    """One line of the table."""
    cells = [name, name_of(epsilon), *(figure_of(warm, "quality", "loo-99neg", at) for at in ("hr@10", "ndcg@10"))]
    cells += [figure_of(warm, "quality", "groups", group, "hr@10") for group in _GROUPS.values()]
    times = mean_of(cold, "quality", "cold-items", "times_chance")
    cells += [figure_of(cold, "quality", "cold-items", "hr@10"), DASH if times is None else f"{times:.1f}"]
    return cells


def markdown(name: str, rows: Sequence[Sequence[str]], seeds: int, cold: float, command: str) -> str:
    """The table, and how it was made."""
    lines = [
        f"# What each modality gives on {name}",
        "",
        f"Mean and standard deviation over {seeds} seed{'s' if seeds > 1 else ''}. HR@10 and NDCG@10: the test item",
        "against 99 negatives; HR@10 for the quarter of users with the fewest training events and for the others, for",
        "test items among the most used fifth of the catalogue and for those used less. Cold items: HR@10 of items",
        f"that training never met ({cold:.0%} of the catalogue, in runs of their own) against 99 others of them. A",
        "modality alone is the fused config without the others, not tuned again.",
        "",
        f"`{command}`",
        "",
    ]
    return "\n".join([*lines, *rows_as_markdown(_HEAD, rows, 2), ""])


def configs_of(given: Sequence[str]) -> dict[float, Path]:
    """Read ``8=PATH``; the dearest budget last. Raises ConfigError on anything else."""
    found = {}
    for one in given:
        epsilon, sign, path = one.partition("=")
        if not sign:
            raise ConfigError("a config is given as EPSILON=PATH", value=one, action="Write inf=PATH for no noise")
        for number in epsilons_of(epsilon):
            found[number] = Path(path)
    return dict(sorted(found.items(), reverse=True))


def main() -> None:
    """Do the runs that are missing; write ``modalities.md`` and ``modalities.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", nargs="+", metavar="EPSILON=PATH", help="by default the shop's")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of all runs")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cold", type=float, default=0.2, help="share of items kept out; 0 = no such runs")
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    shops = [f"inf={_CONFIGS / 'shop-public.toml'}", f"8,1={_CONFIGS / 'shop-private.toml'}"]
    configs = configs_of(asked.config or shops)
    cells = jobs_of(configs, asked.set, range(asked.seeds), asked.cold, asked.out)
    jobs = [job for cell in cells.values() for job in cell]
    runs = iter(run_jobs(jobs, asked.data, workers=asked.workers, reporter=PlainReporter()))
    found = {cell: [next(runs) for _ in its] for cell, its in cells.items()}
    rows = [row_of(n, e, found[n, e, False], found.get((n, e, True), [])) for n, e, cold in found if not cold]
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR").replace(str(asked.data), asked.data.name)
    command = f"python -m simulations.benchmarks.modalities {given}"
    asked.out.mkdir(parents=True, exist_ok=True)
    text = markdown(asked.data.name, rows, asked.seeds, asked.cold, command)
    (asked.out / "modalities.md").write_text(text, encoding="utf-8")
    record = {"head": _HEAD, "rows": rows, "command": command}
    (asked.out / "modalities.json").write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
