"""``fedrec privacy statement``: what a run promises, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.console import print_json


def command(
    run: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What a run left: its --out directory.")],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the page, as Markdown, to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the page.")] = False,
) -> None:
    """State what a run promises, to whom, how, what must be trusted, and what is not covered."""
    from fedrec.cli.load_run import load_run, read_record
    from fedrec.privacy.page import facts_of, page_of

    record, _ = read_record(run)
    problems = [f"{check.name}: {problem}" for check in load_run(run) for problem in check.problems]
    facts = facts_of(
        record["privacy"],
        population=int(record["data"]["users"]),
        name=record["config"]["run"]["name"],
        verified=problems,
    )
    page = page_of(facts)
    if out is not None:
        out.write_text(page, encoding="utf-8")
    if as_json:
        print_json(facts)
    elif out is None:
        typer.echo(page)
