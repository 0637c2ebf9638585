"""``fedrec bench grid``: rounds of the whole protocol between simulated devices and a server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell

_FEWEST = 20


def bench_grid(
    devices: Annotated[str, typer.Option(help="How many, several with commas; each 20 or more.")] = "100,300,1000",
    length: Annotated[int, typer.Option(min=500, max=1_000_000, help="Parameters of the model, about.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Rounds that are measured, after one that is not.")] = 3,
    workers: Annotated[int, typer.Option(min=0, max=256, help="Processes with devices; 0 = as speed.workers.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure training rounds of engine grid: all messages, stores, training, masks, and the opening of the sum."""
    counts = [int(word) if word.strip().isdecimal() else 0 for word in devices.split(",")]
    if min(counts) < _FEWEST:
        raise typer.BadParameter(f"numbers of {_FEWEST} or more with commas between them", param_hint="--devices")
    from fedrec.simulation.bench.grid import run_grid

    tell("engine grid", run_grid(counts, length, rounds=rounds, workers=workers), as_json=as_json)
