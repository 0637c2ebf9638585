"""``fedrec bench hot``: what runs most often, beside a product of matrices, and beside what was stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_hot(
    against: Annotated[Path | None, typer.Option(help="Stored figures, as --json prints them.")] = None,
    most: Annotated[float, typer.Option(min=1.0, max=100.0, help="Times as long that each may take.")] = 3.0,
    as_json: AsJson = False,
) -> None:
    """Measure what runs most often, in units of a product of matrices.

    With --against it leaves with 1 where something takes several times as long as stored.
    """
    from fedrec.errors import ConfigError
    from fedrec.simulation.bench.hot import compared, run_hot

    stored: dict[str, float] = {}
    if against is not None:
        try:
            stored = {str(name): float(ratio) for name, ratio in json.loads(against.read_text("utf-8")).items()}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise ConfigError(
                "stored figures cannot be read",
                value=str(error),
                action="Give what `bench hot --json` printed",
            ) from None
    found = run_hot()
    slower = compared(found, stored, most)
    tell("hot", found | ({"slower": slower} if against is not None else {}), as_json=as_json)
    if slower:
        raise typer.Exit(1)
