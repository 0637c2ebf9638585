"""A sweep for people: a table on the terminal and in Markdown, a curve as SVG, and both in one HTML file."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedrec.console import DASH, figure, jsonable, say, show_table
from fedrec.privacy.simulated import KEY as ABOUT
from fedrec.simulation.privacy.sweep_plot import svg
from fedrec.simulation.privacy.sweep_table import METRICS
from fedrec.simulators_view import simulators_view

COLUMNS = ("epsilon", *(label for _, _, label in METRICS))


def write(found: Mapping[str, Any], out: Path) -> None:
    """Write ``sweep.json``, ``sweep.md``, ``sweep.svg`` and ``sweep.html``."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "sweep.json").write_text(json.dumps(jsonable(found), indent=2) + "\n", encoding="utf-8")
    (out / "sweep.md").write_text(markdown(found), encoding="utf-8")
    picture = svg(found, "loo-99neg/ndcg@10", "NDCG@10, the held-out item against 99 others")
    (out / "sweep.svg").write_text(picture, encoding="utf-8")
    (out / "sweep.html").write_text(page(found), encoding="utf-8")


def table_rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """A row a point: epsilon, with the curve's name where it has one, and each metric as mean and deviation."""
    rows = []
    for point in found["points"]:
        name = "no noise" if point["epsilon"] is None else f"{point['epsilon']:g}"
        cells = (point["quality"][f"{protocol}/{metric}"] for protocol, metric, _ in METRICS)
        rows.append((f"{name} {point['variant']}".strip(), *map(interval_of, cells)))
    return rows


def interval_of(cell: Mapping[str, Any]) -> str:
    """Mean and deviation; of one seed the mean alone."""
    if cell["mean"] is None:
        return DASH
    return figure(cell["mean"]) if cell["deviation"] is None else f"{cell['mean']:.3f} ± {cell['deviation']:.3f}"


def markdown(found: Mapping[str, Any]) -> str:
    """The table, with what it is of."""
    lines = [f"**{found[ABOUT]}**", "", f"# {found['name']}: quality against epsilon", "", caption(found), ""]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(METRICS)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table_rows(found)]
    return "\n".join([*lines, ""])


def caption(found: Mapping[str, Any]) -> str:
    """Of what the figures are, and whose view they are."""
    most = max(len(point["seeds"]) for point in found["points"])
    words = "Mean and standard deviation over" if most > 1 else "Of"
    seeds = f"{words} {most} {'seeds' if most > 1 else 'seed'}; user-level unless the config says otherwise."
    return f"{seeds} {simulators_view('Quality')}."


def page(found: Mapping[str, Any]) -> str:
    """One HTML file that loads nothing."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in COLUMNS)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in table_rows(found))
    pictures = "\n".join(svg(found, f"{protocol}/{metric}", label) for protocol, metric, label in METRICS)
    style = "body{font-family:sans-serif;max-width:60rem;margin:2rem auto}td,th{padding:.2rem .8rem;text-align:right}"
    title, first = html.escape(f"{found['name']}: quality against epsilon"), html.escape(found[ABOUT])
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head><body>\n<p><b>{first}</b></p>\n<h1>{title}</h1>\n<p>{html.escape(caption(found))}</p>\n"
        f"<table><tr>{head}</tr>\n{body}\n</table>\n{pictures}\n</body></html>\n"
    )


def show(found: Mapping[str, Any], out: Path) -> None:
    """Print the table."""
    say(found[ABOUT], style="bold")
    show_table(f"{found['name']}: quality against epsilon", COLUMNS, table_rows(found), numbers=(1, 2, 3, 4))
    say(caption(found))
    say(f"Files: {out}", style="bold")
