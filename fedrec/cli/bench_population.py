"""``fedrec bench population``: how long it takes to open a population and fetch a cohort, by where it lies."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_population(
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many users there are.")] = 100_000,
    cohort: Annotated[int, typer.Option(min=1, help="How many users are fetched, at random.")] = 1_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to measure.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Measure opening a population and fetching a cohort: flat arrays, Parquet, one SQLite file, a store a user."""
    from fedrec.simulation.bench.population import run_population

    tell("population", run_population(users, cohort, seconds), as_json=as_json)
