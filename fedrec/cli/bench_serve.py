"""``fedrec bench serve``: how many requests a second the HTTP API ranks for."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_serve(
    items: Annotated[int, typer.Option(min=100, max=10_000_000, help="Items of the catalogue.")] = 10_000,
    events: Annotated[int, typer.Option(min=0, max=1000, help="Events of a history.")] = 50,
    connections: Annotated[int, typer.Option(min=1, max=256, help="Connections that ask at once.")] = 8,
    workers: Annotated[int, typer.Option(min=0, max=64, help="Processes that answer; 0: one a core it may use.")] = 0,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to ask.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Measure `fedrec serve` on loopback: requests a second, and how long one waits."""
    from fedrec.cores import Cores
    from fedrec.simulation.bench.serve import Load, run_serve

    load = Load(items, events, connections, workers or Cores.here().usable)
    tell("requests", run_serve(load, seconds), as_json=as_json)
