"""``fedrec config``: what a config comes to, and what every key of one means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrec.config.load import read_tree
from fedrec.config.origin import Effective, effective
from fedrec.config.reference import markdown, references, schema
from fedrec.console import print_json, say, show_table
from fedrec.errors import ConfigError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add ``fedrec config``."""
    group = typer.Typer(help="Settings: what a config comes to, and what each key means.", no_args_is_help=True)
    group.command("show")(show)
    group.command("schema")(reference)
    app.add_typer(group, name="config")


def show(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file of settings; without one, the defaults.", dir_okay=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the settings that a run of CONFIG has, its preset applied, and where each value is from."""
    tree = {} if config is None else read_tree(config)
    found, rows = effective(tree, settings or [])
    if as_json:
        print_json({"preset": found.model.preset, "settings": {one.key: _facts(one) for one in rows}})
        return
    title = f"{config.name if config else 'Defaults'}, preset {found.model.preset}"
    cells = [(one.key, json.dumps(one.value), one.origin, one.description) for one in rows]
    show_table(title, ("key", "value", "from", "what it is"), cells)


def reference(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON Schema instead of a table.")] = False,
) -> None:
    """Print every key that a config may set: type, range, default, description."""
    if as_json and as_markdown:
        raise ConfigError("--json and --markdown are two forms of the same reference", action="Ask for one of them")
    if as_json:
        print_json(schema())
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    else:
        cells = [(one.key, one.kind, one.bounds, json.dumps(one.default), one.description) for one in references()]
        show_table("Settings", ("key", "value", "range", "default", "what it is"), cells)
        say("`fedrec config show CONFIG` prints what a config comes to")


def _facts(one: Effective) -> dict[str, Any]:
    return {"value": one.value, "from": one.origin, "description": one.description}
