"""``fedrec bench secagg``: what secure aggregation costs a device and the server."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


class Rival(StrEnum):
    """Another secure aggregation, timed in the same run. flower: the one that comes with Flower."""

    flower = "flower"


def bench_secagg(
    devices: Annotated[
        int | None, typer.Option(min=3, max=100_000, help="How many; by default 1000, or 100 against a rival.")
    ] = None,
    length: Annotated[int, typer.Option(min=1, max=10_000_000, help="Elements of a vector.")] = 100_000,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share that is gone after sharing secrets.")] = 0.1,
    neighbours: Annotated[
        int | None, typer.Option(min=2, help="Neighbours of a device; by default what is safe for so many devices.")
    ] = None,
    threshold: Annotated[
        int | None, typer.Option(min=1, help="Shares that open a secret; above half the neighbours.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, max=64, help="Threads of the server; by default all.")] = None,
    against: Annotated[
        Rival | None, typer.Option(help="Time a rival beside it; with 10 and 99 neighbours unless --neighbours is set.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a round of secure aggregation: a device's work, the server's, a mask's price and its limits."""
    if against is not None:
        from fedrec.simulation.bench.secagg_flower import compare

        found = compare(devices or 100, length, dropout, [neighbours] if neighbours else [10, 99], workers=workers)
    else:
        from fedrec.simulation.bench.secagg import run_secagg

        found = run_secagg(
            devices or 1000, length, dropout, neighbours=neighbours, threshold=threshold, workers=workers
        )
    tell("secure aggregation", found, as_json=as_json)
