"""``server start``: a SuperLink behind its fence and nothing else, for who starts runs by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.console import say


def register(server: typer.Typer) -> None:
    """Add this command to ``fedrec server``."""
    server.command("start")(start)


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
    from fedrec.enrolment.invite import parse_address
    from fedrec.server.superlink import ServerFiles, serve_devices

    address = parse_address(listen)
    files = ServerFiles(root_certificates.absolute(), certificate.absolute(), key.absolute(), database.absolute())
    text = f"devices: https://{listen}, operators: https://127.0.0.1:{control_port}"
    serve_devices(files, address, control_port, lambda: say(text))
