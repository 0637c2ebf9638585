"""``fedrec bench device``: what a person with a device waits for."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_device(
    items: Annotated[int, typer.Option(min=300, max=10_000_000, help="Items of the release.")] = 100_000,
    width: Annotated[int, typer.Option(min=1, max=4096, help="Numbers of an item's features and factors.")] = 64,
    events: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Events of the store whose size is told.")
    ] = 100_000,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to measure, a figure.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Measure a cold start to the first list, a new event to the next, and the size of a store."""
    from fedrec.simulation.bench.device import DeviceSizes, run_device

    tell("device", run_device(DeviceSizes(items, width, events), seconds), as_json=as_json)
