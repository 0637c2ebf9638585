"""``fedrec bench solve``: what the server makes of its sums, by size of the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_solve(
    items: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="How many items.")] = 10_000,
    rank: Annotated[int, typer.Option(min=2, max=512, help="Directions of the noisy sum.")] = 32,
    prior: Annotated[int, typer.Option(min=0, max=4096, help="Columns of a sharpened kernel; 0 = linear.")] = 128,
    table: Annotated[int, typer.Option(min=1, max=4096, help="Columns of the released tables.")] = 64,
    fold_in: Annotated[int, typer.Option(min=0, max=1024, help="Factors that users are placed among; 0 = none.")] = 64,
    as_json: AsJson = False,
) -> None:
    """Measure seconds and memory of solving sums, writing and reading a release, and ranking."""
    from fedrec.simulation.bench.solve import SolveSizes, run_solve

    tell("solve", run_solve(SolveSizes(items, rank=rank, prior=prior, table=table, fold_in=fold_in)), as_json=as_json)
