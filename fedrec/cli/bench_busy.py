"""``fedrec bench busy``: how much longer a run takes where others compute on the same cores."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson, tell


def bench_busy(
    busy: Annotated[int, typer.Option(min=0, max=1024, help="Busy processes to start beside it.")] = 2,
    users: Annotated[int, typer.Option(min=20, max=999_999, help="How many users the shop has.")] = 600,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Rounds of training.")] = 20,
    preset: Annotated[str, typer.Option(help="Settings: a preset, or a TOML file.")] = "fedrec",
    seconds: Annotated[float, typer.Option(min=0.0, max=3600.0, help="How long to measure; three rounds at least.")] = (
        60.0
    ),
    as_json: AsJson = False,
) -> None:
    """Measure a whole run on the machine as it is and beside busy processes, in turn; starts and stops them itself."""
    from fedrec.simulation.bench.busy import ShopRun, run_busy

    tell("a run beside others", run_busy(ShopRun(users, rounds, preset), busy=busy, seconds=seconds), as_json=as_json)
