"""``server plan``: a deployment of so many devices on paper."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.cli.rows import AsJson
from fedrec.console import figure, print_json, say, show_table, size
from fedrec.errors import ConfigError

_HOURS, _MINUTE = 3600.0, 60.0


def register(server: typer.Typer) -> None:
    """Add this command to ``fedrec server``."""
    server.command("plan")(plan)


def plan(
    devices: Annotated[int, typer.Option(min=2, help="Devices that take part.")],
    config: Annotated[Path, typer.Argument(help="A TOML file of settings, or the name of a preset.")] = Path("auto"),
    users: Annotated[int, typer.Option(min=0, help="People behind all devices together; 0 = one each.")] = 0,
    items: Annotated[int, typer.Option(min=2, help="Of the catalogue.")] = 10_000,
    parameters: Annotated[int, typer.Option(min=1, help="Of the shared model, where one is trained.")] = 20_000,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, as section.key=value.")
    ] = None,
    constant: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Change one number that seconds are reckoned with; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a run over so many devices sends, how long it takes, what it spends, and what breaks first.

    Nothing is asked and nothing is started. Messages and bytes are exact; seconds are reckoned with constants that were
    measured, which docs/scaling.md names, and --constant changes.
    """
    from fedrec.api.config_plan import report, settled
    from fedrec.api.configs import config_of
    from fedrec.queries.sizing import sized_by_noise
    from fedrec.server.deployment_plan import capacity

    people = users or devices
    asked = config_of(str(config), [*(settings or []), "run.engine=flower"])
    sized = sized_by_noise(settled(asked), people, items)
    found = capacity(sized, devices, people, items, parameters, _constants(constant or []))
    spent = report(asked, people, devices=devices, checks=False, items=items)["privacy"]
    found["privacy"] = {name: spent[name] for name in ("unit", "delta", "epsilon_released", "epsilon_server")}
    if as_json:
        print_json(found)
    else:
        _show(found)


def _constants(changes: list[str]) -> Any:
    from fedrec.server.capacity import Constants

    kinds = {field.name: float if field.type == "float" else int for field in fields(Constants)}
    chosen: dict[str, Any] = {}
    for change in changes:
        name, _, text = change.partition("=")
        try:
            chosen[name] = kinds[name](text)
        except (KeyError, ValueError):
            action = f"Write NAME=NUMBER; names are {', '.join(kinds)}"
            raise ConfigError("this is no constant of the plan", value=change, action=action) from None
        if chosen[name] <= 0:
            raise ConfigError("a constant of the plan is above 0", value=change)
    return Constants(**chosen)


def _show(found: dict[str, Any]) -> None:
    rows = [
        (
            one["query"],
            f"{one['sums']}",
            f"{one['asked']:,}",
            f"{one['length']:,} x {one['bits']} bit",
            f"{one['neighbours']}",
            f"{one['messages']:,}",
            size(one["device_up"]),
            size(one["device_down"]),
            _time(one["whole_seconds"]),
        )
        for one in found["sums"]
    ]
    columns = ("query", "sums", "devices", "vector", "neighbours", "messages", "up a device", "down", "time of one")
    show_table(f"Sums of {found['devices']:,} devices ({found['protocol']})", columns, rows, numbers=(1, 2, 4, 5))
    run, privacy = found["run"], found["privacy"]
    say(f"The run: {run['sums']} sums, {_time(run['seconds'])}, {run['messages']:,} messages", style="bold")
    say(f"  server: {size(run['server_up'])} in, {size(run['server_down'])} out, {found['links']:,} SuperLinks")
    say(f"  a device: {size(run['device_up'])} up, {size(run['device_down'])} down, roster {size(run['roster_bytes'])}")
    say(
        f"  epsilon, released model: {figure(privacy['epsilon_released'], 2)}, server: "
        f"{figure(privacy['epsilon_server'], 2)} (delta {privacy['delta']:.1e})"
    )
    broken = [
        (f"{one['devices']:,}", one["what"], figure(one["value"], 2), figure(one["most"], 2), one["past"])
        for one in found["limits"]
    ]
    show_table("What breaks, the first one first", ("up to devices", "what", "here", "at most", "the way past"), broken)


def _time(seconds: float) -> str:
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < 2 * _HOURS else f"{seconds / _HOURS:.1f} h"
