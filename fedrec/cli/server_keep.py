"""``server certify``: what an operator does to a server that is there."""

from __future__ import annotations

from typing import Annotated

import typer

from fedrec.cli.rows import AsJson
from fedrec.cli.server_enrol import PublisherOption
from fedrec.cli.server_up import Deployment
from fedrec.console import print_json, say


def register(server: typer.Typer) -> None:
    """Add these commands to ``fedrec server``."""
    server.command("certify")(certify)


def certify(
    directory: Deployment,
    host: Annotated[list[str], typer.Option(help="What devices call it; may be given again.")],
    publisher: PublisherOption = None,
    as_json: AsJson = False,
) -> None:
    """Make a new certificate and key for a server, under the authority that devices know; then start the server."""
    from fedrec.server.operation.certificates import Authority, expiry_of
    from fedrec.server.operation.server_directory import publisher_of_deployment, server_of

    server, keys = server_of(directory), publisher_of_deployment(directory, publisher)
    server.facts()
    Authority.read(keys.authority, keys.authority_key).write_server(server.certificate, server.key, host)
    until = expiry_of(server.certificate)
    if as_json:
        print_json({"certificate": server.certificate, "until": until.isoformat()})
    else:
        say(f"certified until {until:%Y-%m-%d}; now fedrec server down, and up again")
