"""``server``: set a server up, run it, look at it, end it. Its commands are in the modules that are registered here."""

from __future__ import annotations

import typer

from fedrec.cli import pages, server_enrol, server_keep, server_plan, server_start, server_up
from fedrec.cli.groups import command_group


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    server = command_group("Run a server that devices reach.")
    server.callback()(lambda: None)
    server_up.register(server)
    server_enrol.register(server)
    server_keep.register(server)
    server_plan.register(server)
    server_start.register(server)
    server.command("pages")(pages.server_pages)
    app.add_typer(server, name="server")
