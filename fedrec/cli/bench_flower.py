"""``fedrec bench flower``: users a second of Flower's own simulation runtime, by how many of them a node serves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_flower(
    users: Annotated[int, typer.Option(min=2, max=1_000_000, help="How many.")] = 200,
    slices: Annotated[
        str, typer.Option(help="Numbers of nodes, with commas; as many as users: one user a node.")
    ] = "4,200",
    length: Annotated[int, typer.Option(min=500, max=1_000_000, help="Parameters of the model, about.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds that are measured, after one that is not.")] = 3,
    app: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The project that Flower starts.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Measure training rounds on Flower's runtime: one user a node, slices of many users, and one vectorised pass."""
    counts = [int(word) if word.strip().isdecimal() else 0 for word in slices.split(",")]
    if not all(1 <= count <= users for count in counts):
        raise typer.BadParameter("numbers from 1 to --users with commas between them", param_hint="--slices")
    from fedrec.simulation.bench.flower import run_slices

    tell("Flower's runtime", run_slices(users, counts, length, rounds=rounds, app=app), as_json=as_json)
