"""A run's outcome on the terminal: quality beside simple rankings, what is promised, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedrec.console import figure, say, show_table, size
from fedrec.content.left_out import counted_rows
from fedrec.privacy.simulated import KEY
from fedrec.run_words import cold_item_words, promises, rating_words
from fedrec.simulation.report.charts import BASELINES, METRICS, finite, table
from fedrec.simulation.report.choice import COLUMNS, choice_rows, choice_words
from fedrec.simulators_view import simulators_view


def show_run(run: Mapping[str, Any], out: Path) -> None:
    """Print what ``run`` (the content of ``run.json``) says. ``out``: where the run's files lie."""
    if run.get(KEY):
        say(str(run[KEY]), style="bold")
    for warning in run.get("warnings") or ():
        say(f"Warning: {warning}.", style="bold")
    metrics = table(run.get("quality")).get("loo-99neg")
    rows = [_row("this model", metrics)]
    known = table(run.get("baselines"))
    rows += [_row(name, known[name]) for name in BASELINES if known.get(name)]
    say("")
    show_table("Quality, the held-out item against 99 others", ("ranking by", *METRICS.values()), rows, numbers=(1, 2))
    say(simulators_view("Quality"))
    for words in (cold_item_words(run), rating_words(run)):
        if words:
            say(words)
    if chosen := choice_words(run):
        say("")
        show_table("What the devices chose", COLUMNS, choice_rows(run), numbers=(1, 2, 3))
        say(chosen)
    privacy = table(run.get("privacy"))
    say(f"epsilon, released model: {_epsilon(privacy, 'epsilon_released')}", style="bold")
    say(f"epsilon, server: {_epsilon(privacy, 'epsilon_server')}", style="bold")
    for heading, text in promises(run):
        say(f"  {heading}: {text}")
    sums, cost = table(run.get("secure_aggregation")), table(run.get("cost"))
    each, total = (finite(sums.get(f"bytes_up_per_device_{span}")) for span in ("round", "total"))
    say(f"Sent by a device: {size(each)} a round, {size(total)} in the whole run", style="bold")
    say(f"Time: {figure(finite(cost.get('seconds')), 1)} s, {figure(cost.get('rounds'))} rounds", style="bold")
    say(f"Files: {out}", style="bold")
    data = table(run.get("data"))
    if skipped := data.get("skipped"):
        say(f"Left out on reading: {counted_rows(skipped)}; `fedrec data inspect` says which and why")
    if problems := data.get("content_problems"):
        say(f"Problems with the catalogue's content: {problems:,}; run.json names the first ones")


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


def _epsilon(privacy: Mapping[str, Any], key: str) -> str:
    value = finite(privacy.get(key))
    if value is not None:
        return figure(value, 2)
    reason = privacy.get(f"{key}_reason")
    if reason is None and privacy and not privacy.get("mechanism"):
        reason = "unbounded: the run adds no noise"
    return f"none ({reason or 'nothing is claimed'})"


def _row(name: str, metrics: Any) -> tuple[str, ...]:
    return (name, *(figure(finite(table(metrics).get(metric))) for metric in METRICS))
