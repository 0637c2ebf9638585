"""Tables of many runs: each run once, in a directory named after its whole config, and figures over seeds."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from fedrec.config import Config
from fedrec.console import DASH
from fedrec.simulation.privacy.sweep_runs import SweepCurve, SweepJob, at
from fedrec.simulation.run import settled


def job_of(name: str, config: Config, epsilon: float, seed: int, out: Path) -> SweepJob:
    """A run of ``config`` at an epsilon (infinite = no noise) and seed. Changed settings are another directory."""
    config = at(config, epsilon, seed)
    mark = hashlib.sha256(settled(config).model_dump_json().encode()).hexdigest()[:12]
    return SweepJob(
        SweepCurve(name, ()), epsilon, seed, config, out / "runs" / f"{name}-epsilon-{epsilon:g}-seed-{seed}-{mark}"
    )


def figure_of(runs: Sequence[Mapping[str, Any]], *path: str) -> str:
    """Mean and deviation over runs of a figure in run.json; a dash where a run lacks it."""
    values = [_at(run, path) for run in runs]
    known = [float(value) for value in values if value is not None]
    if not known or len(known) < len(values):
        return DASH
    spread = f" ± {stdev(known):.3f}".replace("0.", ".", 1) if len(known) > 1 else ""
    return f"{fmean(known):.3f}".removeprefix("0") + spread


def mean_of(runs: Sequence[Mapping[str, Any]], *path: str) -> float | None:
    """The mean over runs, None where a run lacks it."""
    values = [_at(run, path) for run in runs]
    return None if not values or any(value is None for value in values) else fmean(values)


def name_of(epsilon: float) -> str:
    """How tables call a budget."""
    return "no noise" if math.isinf(epsilon) else f"{epsilon:g}"


def rows_as_markdown(head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Lines of a table whose first ``words`` columns are words and whose others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * words + "---:|" * (len(head) - words)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def _at(run: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = run
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
