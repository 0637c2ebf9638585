"""A run's outcome on the terminal: quality beside simple rankings, what is promised, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrec.console import figure, say, show_table, size
from simulations.report.charts import BASELINES, METRICS, finite, table
from simulations.report.words import promises


def show_run(run: Mapping[str, Any], out: Path) -> None:
    """Print what ``run`` (the content of ``run.json``) says. ``out``: where the run's files lie."""
    metrics = table(run.get("quality")).get("loo-99neg")
    rows = [_row("this model", metrics)]
    known = table(run.get("baselines"))
    rows += [_row(name, known[name]) for name in BASELINES if known.get(name)]
    say("")
    show_table("Quality, the held-out item against 99 others", ("ranking by", *METRICS.values()), rows, numbers=(1, 2))
    privacy = table(run.get("privacy"))
    for name, key in (("released model", "epsilon_released"), ("server", "epsilon_server")):
        say(f"epsilon, {name}: {figure(finite(privacy.get(key)), 2)}", style="bold")
    for heading, text in promises(run):
        say(f"  {heading}: {text}")
    sent = finite(table(run.get("secure_aggregation")).get("bytes_up_per_device_round"))
    cost = table(run.get("cost"))
    say(f"Sent by a device: {size(sent)} a round", style="bold")
    say(f"Time: {figure(finite(cost.get('seconds')), 1)} s, {figure(cost.get('rounds'))} rounds", style="bold")
    say(f"Files: {out}", style="bold")


def show_recommendations(user: str, history: Sequence[str], found: Sequence[Mapping[str, Any]]) -> None:
    """Print one person's last titles and what the device recommends, with its reasons."""
    say("")
    say(f"{user} chose: {', '.join(history) or 'nothing yet'}")
    rows = [(item["rank"], item["title"], item["reason"], shares_text(item["shares"])) for item in found]
    show_table(f"The device of {user} recommends", ("", "title", "why", "made of"), rows)


def shares_text(shares: Mapping[str, float]) -> str:
    """The shares of a score that matter, the largest first: ``text 40%, picture 25%``."""
    ordered = sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{name} {round(100 * share)}%" for name, share in ordered if share >= 0.005)


def _row(name: str, metrics: Any) -> tuple[str, ...]:
    return (name, *(figure(finite(table(metrics).get(metric))) for metric in METRICS))
