"""``server enrol|approve``: what takes the publisher's key, and so may be done on another machine than the server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrec.cli.rows import AsJson
from fedrec.cli.server_up import Deployment
from fedrec.console import print_json, say

if TYPE_CHECKING:
    from fedrec.release.bundle import Release

PublisherOption = Annotated[
    Path | None, typer.Option(file_okay=False, help="Where the publisher's keys are; default: beside the server's.")
]


def register(server: typer.Typer) -> None:
    """Add these commands to ``fedrec server``."""
    server.command("enrol")(enrol)
    server.command("approve")(approve)


def enrol(
    directory: Deployment,
    requests: Annotated[
        list[Path] | None, typer.Argument(help="request.json of devices; or one signed.json of the publisher.")
    ] = None,
    withdraw: Annotated[list[str] | None, typer.Option(help="A device that leaves, by name; may be repeated.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Sign another run with the devices that there are.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Although a run is under way, which ends unfinished.")] = (
        False
    ),
    users: Annotated[int, typer.Option(min=0, help="People behind all devices together (0 = one each).")] = 0,
    override: Annotated[list[str] | None, typer.Option("--set", help="section.key=value over the settings.")] = None,
    publisher: PublisherOption = None,
    as_json: AsJson = False,
) -> None:
    """Put devices on the roster, or take them off, and sign the next run, which the server then brings to its end.

    Where DIRECTORY has the publisher's keys and no server, what is signed goes to DIRECTORY/signed.json, for this same
    command on the server.
    """
    from fedrec.server.operation.enrol import enrol as enrolled

    facts = enrolled(
        directory, requests or [], withdraw or [], override or [], users, publisher, again=again, replace=replace
    )
    if as_json:
        print_json(facts)
        return
    if facts["trust"]:
        say(str(facts["trust"]), style="bold")
    say(f"run {facts['counter']} of {facts['devices']} devices, roster version {facts['roster_version']}")
    if facts["carry"] is not None:
        say(f"take {facts['carry']} to the server, and there: fedrec server enrol DIRECTORY signed.json")


def approve(
    directory: Deployment,
    release: Annotated[
        Path | None, typer.Option(file_okay=False, help="One that the publisher approved elsewhere.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds that the run has to come to its end.")] = 0.0,
    publisher: PublisherOption = None,
    as_json: AsJson = False,
) -> None:
    """Approve the release of the finished run, and give it to devices. They rank with nothing that is not approved.

    Without the publisher's keys on this machine: take the release to them, fedrec release approve, and come back with
    --release.
    """
    from fedrec.server.operation.approve import approve_and_publish, finished_release, publish_release
    from fedrec.server.operation.publisher import publisher_key
    from fedrec.server.operation.server_directory import publisher_of_deployment, server_of

    server = server_of(directory)
    found: Release
    if release is not None:
        found = publish_release(server, release)
    else:
        key = publisher_key(publisher_of_deployment(directory, publisher))
        found = approve_and_publish(server, finished_release(server, wait=wait), key)
    if as_json:
        print_json({"name": found.name, "version": found.version, "id": found.id, "signer": found.fingerprint})
    else:
        say(f"{found.name}: version {found.version} is approved, and devices may fetch it", style="bold")
