"""The command groups: fedrec's own, and those that other packages add.

A command group is a function ``register(app: typer.Typer) -> None``.  Another package adds one under the entry point
group ``fedrec.commands``.  The modules named here import the library only where a command is called, so that asking for
help takes no time.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import click.exceptions
import typer

ENTRY_POINTS: Final = "fedrec.commands"
Register = Callable[[typer.Typer], None]

# Newer versions of Click say by themselves what was perhaps meant, and typer would say it a second time.
SUGGESTS: Final = not hasattr(click.exceptions, "NoSuchCommand")

# In the order of the help. ``simulation`` adds to ``data``.
OWN: Final[Mapping[str, str]] = {
    "bench": "fedrec.cli.bench:register",
    "config": "fedrec.cli.config:register",
    "data": "fedrec.cli.data:register",
    "device": "fedrec.cli.device:register",
    "export": "fedrec.cli.export:register",
    "manifest": "fedrec.cli.manifest:register",
    "privacy": "fedrec.cli.privacy:register",
    "release": "fedrec.cli.release:register",
    "report": "fedrec.cli.report:register",
    "serve": "fedrec.cli.serve:register",
    "server": "fedrec.cli.server:register",
    "simulation": "fedrec.cli.simulation:register",
}


def find_groups() -> tuple[list[Register], list[str]]:
    """The ``register`` functions of all command groups, and a sentence for each group that cannot be had."""
    registers: list[Register] = []
    missing: list[str] = []
    for where, load in _loaders():
        try:
            registers.append(load())
        except (ImportError, AttributeError) as error:
            missing.append(f"The commands of {where} cannot be loaded: {error}.")
    return registers, missing


def subgroup(app: typer.Typer, name: str, about: str) -> typer.Typer:
    """The group ``name`` of an app, made where it has none: so several modules can add commands to one group."""
    for known in app.registered_groups:
        if known.name == name and known.typer_instance is not None:
            return known.typer_instance
    made = command_group(about)
    app.add_typer(made, name=name)
    return made


def command_group(about: str) -> typer.Typer:
    """A group of commands that shows its help where none is named, and says once what was perhaps meant."""
    return typer.Typer(help=about, no_args_is_help=True, suggest_commands=SUGGESTS)


def _loaders() -> Iterator[tuple[str, Callable[[], Any]]]:
    for where in OWN.values():
        yield where, partial(_own, where)
    for point in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        if point.value not in OWN.values():
            yield point.value, point.load


def _own(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
