"""``fedrec privacy statement``: what a run promises, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.console import print_json


def command(
    run: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="What a run left: its --out directory; or a release.")
    ],
    out: Annotated[Path | None, typer.Option(dir_okay=False, help="Write the page, as Markdown, to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of the page.")] = False,
) -> None:
    """State what a run promises, to whom, how, what must be trusted, and what is not covered."""
    from fedrec.api.privacy import statement

    found = statement(run)
    if out is not None:
        out.write_text(found.page, encoding="utf-8")
    if as_json:
        print_json(found.facts)
    elif out is None:
        typer.echo(found.page)
