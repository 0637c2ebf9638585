"""``fedrec report``: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.cli.rows import AsJson
from fedrec.console import print_json, say, show_table
from fedrec.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add this shell's command to ``fedrec``."""
    app.command("report")(report)


def report(
    runs: Annotated[list[Path], typer.Argument(exists=True, file_okay=False, help="Directories of runs.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="The page that is written.")] = Path("comparison.html"),
    as_json: AsJson = False,
) -> None:
    """Compare RUNS side by side, in the terminal and as one self-contained page.

    Settings that differ, quality with 95% intervals over users, both epsilons, bytes and seconds.
    """
    from fedrec.api.load_run import read_record
    from fedrec.extras import need

    need("jinja2", "report", what="the page of a comparison")
    from fedrec.simulation.report.compare import compare, write_comparison

    names = _names(runs)
    found = compare({name: read_record(run)[0] for name, run in zip(names, runs, strict=True)})
    page = write_comparison(out, found)
    if as_json:
        sections: dict[str, Any] = {
            title: {row.name: dict(zip(names, row.cells, strict=True)) for row in rows}
            for title, rows in found.sections
        }
        print_json({"page": page, "runs": names, "warnings": found.warnings, "sections": sections})
        return
    for name, said in found.warnings:
        say(f"{name}: warning: {said}", style="bold")
    for title, rows in found.sections:
        show_table(title, ["", *names], [(row.name, *row.cells) for row in rows])
    say(f"Page: {page}")


def _names(runs: list[Path]) -> list[str]:
    """A name of each run: its directory's, with those above it where two are called the same."""
    places = [run.resolve() for run in runs]
    if len(set(places)) < len(places):
        raise ConfigError("a run is named twice", value=[str(run) for run in runs], action="Name each run once")
    for depth in range(1, 1 + max(len(place.parts) for place in places)):
        names = ["/".join(place.parts[-depth:]) for place in places]
        if len(set(names)) == len(names):
            break
    return names
