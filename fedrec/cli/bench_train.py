"""``fedrec bench train``: how fast this machine trains with clipping."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from fedrec.cli.rows import AsJson, tell
from fedrec.errors import ConfigError


class Workload(StrEnum):
    """W1: an MLP of 148-64-32-1, 64 labelled rows a user, one local step, clipped by user. tower: the content tower of
    preset defaults on a drawn population. modes: ways to clip rows."""

    w1 = "w1"
    tower = "tower"
    modes = "modes"


def bench_train(
    workload: Annotated[Workload, typer.Option(help="Which reference workload.")] = Workload.w1,
    users: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many users a pass.")] = 10_000,
    seconds: Annotated[float, typer.Option(min=0.1, max=600.0, help="How long to measure.")] = 10.0,
    against: Annotated[
        str, typer.Option(help="Time beside w1, of bound, pfl and flower, with commas; bound is one pass by hand.")
    ] = "",
    dp: Annotated[bool, typer.Option("--dp", help="A clipped step of the tower beside a plain one, by unit.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure how many users a second this machine trains with per-user clipping."""
    rivals = [name for name in against.split(",") if name]
    if unknown := [name for name in rivals if name not in ("bound", "pfl", "flower")]:
        raise ConfigError("no such rival", value=unknown, action="Name some of bound, pfl, flower")
    if rivals and (workload != Workload.w1 or dp):
        raise ConfigError("rivals are timed beside workload w1 only", value=rivals, action="Leave out --against")
    found = _measured(Workload.tower if dp else workload, users, seconds, rivals, dp=dp)
    what = "clipped beside plain" if dp else f"workload {workload.value}"
    tell(what, {"workload": "tower" if dp else workload.value, **found}, as_json=as_json)


def _measured(workload: Workload, users: int, seconds: float, rivals: Any, *, dp: bool) -> dict[str, Any]:
    if workload == Workload.tower:
        from fedrec.simulation.bench import tower

        return tower.run_dp(users, seconds) if dp else tower.run_tower(users, seconds)
    if workload == Workload.modes:
        from fedrec.simulation.bench.modes import run_modes

        return run_modes(users, seconds)
    from fedrec.simulation.bench.w1 import run_w1

    return run_w1(users, seconds, against=rivals)
