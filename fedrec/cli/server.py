"""``server start``: the one command that a server of devices is started with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.pages import server_pages
from fedrec.console import say


def register(app: typer.Typer) -> None:
    """Add this shell's commands to ``fedrec``."""
    server = typer.Typer(help="Run a server that devices reach.", no_args_is_help=True)
    server.callback()(lambda: None)
    server.command("start")(start)
    server.command("pages")(server_pages)
    app.add_typer(server, name="server")


def start(
    listen: Annotated[str, typer.Option(help="HOST:PORT that devices call.")],
    root_certificates: Annotated[Path, typer.Option(help="The authority's certificates (PEM).")],
    certificate: Annotated[Path, typer.Option(help="The server's certificate: for its name, and for 127.0.0.1.")],
    key: Annotated[Path, typer.Option(help="The certificate's secret key.")],
    database: Annotated[Path, typer.Option(help="Where Flower keeps nodes and runs.")],
    control_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where operators on this machine start runs; it is on loopback.")
    ] = 9093,
) -> None:
    """Run Flower's SuperLink until the process is told to end: for operators on loopback, for devices behind a fence.

    At the address that devices call nothing answers but what a device needs: nobody starts, stops or reads a run there.
    """
    from fedrec.errors import ConfigError
    from fedrec.server.superlink import ServerFiles, serve_devices

    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise ConfigError("this is no address to listen at", value=listen, action="Write HOST:PORT")
    files = ServerFiles(root_certificates.absolute(), certificate.absolute(), key.absolute(), database.absolute())
    text = f"devices: https://{listen}, operators: https://127.0.0.1:{control_port}"
    serve_devices(files, (host.strip("[]"), int(port)), control_port, lambda: say(text))
