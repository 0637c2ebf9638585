"""``fedrec config``: what a config comes to, and what every key of one means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrec.cli.groups import command_group
from fedrec.console import print_json, say, show_table
from fedrec.errors import ConfigError

if TYPE_CHECKING:
    from fedrec.config.origin import Effective

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add ``fedrec config``."""
    group = command_group("Settings: what a config comes to, and what each key means.")
    group.command("show")(show)
    group.command("list")(names)
    group.command("schema")(reference)
    app.add_typer(group, name="config")


def show(
    config: Annotated[
        str | None, typer.Argument(help="A TOML file of settings, or a name of `config list`; else the defaults.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the settings that a run of CONFIG has, its preset applied, and where each value is from."""
    from fedrec.api.configs import tree_of
    from fedrec.config.origin import effective

    tree = {} if config is None else tree_of(config)
    found, rows = effective(tree, settings or [])
    if as_json:
        print_json({"preset": found.model.preset, "settings": {one.key: _facts(one) for one in rows}})
        return
    title = f"{Path(config).name if config else 'Defaults'}, preset {found.model.preset}"
    cells = [(one.key, json.dumps(one.value), one.origin, one.description) for one in rows]
    show_table(title, ("key", "value", "from", "what it is"), cells)


def names(as_json: AsJson = False) -> None:
    """List what may be named instead of a file: presets, and the configs of the tables in the documentation."""
    from fedrec.api.configs import presets
    from fedrec.config.shipped import shipped_configs, summary_of

    configs = {name: summary_of(path) for name, path in shipped_configs().items()}
    if as_json:
        print_json({"presets": presets(), "configs": configs})
        return
    rows = [(name, "preset", text) for name, text in presets().items()]
    rows += [(name, "config", text) for name, text in configs.items() if name not in presets()]
    show_table("Settings by name", ("name", "is a", "for"), rows)


def reference(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON Schema instead of a table.")] = False,
) -> None:
    """Print every key that a config may set: type, range, default, description."""
    from fedrec.config.reference import markdown, references, schema

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
