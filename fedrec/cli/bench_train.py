"""``fedrec bench train``: how fast this machine trains with clipping."""

from __future__ import annotations

import importlib
from enum import StrEnum
from typing import Annotated, Any

import typer

from fedrec.cli.rows import AsJson, tell


class Workload(StrEnum):
    """W1: an MLP of 148-64-32-1, 64 labelled rows a user, one local step, clipped by user. modes: ways to clip rows."""

    w1 = "w1"
    modes = "modes"


def bench_train(
    workload: Annotated[Workload, typer.Option(help="Which reference workload.")] = Workload.w1,
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many users a pass.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to measure.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Measure how many users a second this machine trains with per-user clipping."""
    module = importlib.import_module(f"fedrec.simulation.bench.{workload.value}")
    found: dict[str, Any] = getattr(module, f"run_{workload.value}")(users=users, seconds=seconds)
    tell(f"workload {workload.value}", {"workload": workload.value, **found}, as_json=as_json)
