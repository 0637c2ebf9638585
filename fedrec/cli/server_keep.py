"""``server certify|backup|restore|lineage``: what an operator does to a server that is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedrec.cli.rows import AsJson
from fedrec.cli.server_enrol import PublisherOption
from fedrec.cli.server_up import Deployment
from fedrec.console import figure, print_json, say, show_table, size


def register(server: typer.Typer) -> None:
    """Add these commands to ``fedrec server``."""
    server.command("backup")(backup)
    server.command("restore")(restore)
    server.command("lineage")(lineage)
    server.command("certify")(certify)


def backup(
    directory: Deployment,
    out: Annotated[Path, typer.Option(dir_okay=False, help="The archive to write.")],
    with_keys: Annotated[bool, typer.Option("--with-keys", help="Also the server's secret keys.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write one archive of a server, up or not: ledgers, state, runs, releases, manifests; keys only with --with-keys.

    The publisher's keys are never in it. It holds the state of a run under way, so keep it as you keep the server.
    """
    from fedrec.server.operation.backup import back_up
    from fedrec.server.operation.server_directory import server_of

    listed = back_up(server_of(directory), out, with_keys=with_keys)
    taken = out.stat().st_size
    facts = {"archive": out, "bytes": taken, "files": len(listed.files), "counter": listed.counter}
    if as_json:
        print_json({**facts, "with_keys": listed.with_keys})
        return
    said = "with the server's keys" if listed.with_keys else "without secret keys"
    say(f"{len(listed.files)} files, {size(taken)}, in {out}, {said}")


def restore(
    directory: Deployment,
    archive: Annotated[Path, typer.Argument(dir_okay=False, help="What fedrec server backup wrote.")],
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Although more was spent or signed since: see docs/deployment.md.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of a server, after checking every file; what was there stays beside it as server.old.

    An archive that is older than what it would replace is refused: what was spent since would be forgotten.
    """
    from fedrec.server.operation.backup import restore as restored
    from fedrec.server.operation.server_directory import server_of

    listed, missing = restored(server_of(directory), archive, allow_older=allow_older)
    if as_json:
        print_json({"files": len(listed.files), "created_at": listed.created_at, "missing_keys": missing})
        return
    say(f"restored {len(listed.files)} files of {listed.created_at}, up to manifest {listed.counter}")
    if missing:
        say(f"put back from where you keep them, before it can be up: {', '.join(missing)}", style="bold")


def lineage(
    directory: Deployment,
    device: Annotated[str, typer.Argument(help="A device's name, or its identity in hex.")],
    as_json: AsJson = False,
) -> None:
    """Say in which runs and releases DEVICE's data is, at what epsilon, and what of it cannot be recalled.

    A server knows devices and no users: who left asks with the name of their device.
    """
    from fedrec.server.operation.lineage import lineage as traced
    from fedrec.server.operation.server_directory import server_of

    found = traced(server_of(directory), device)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            run["counter"],
            run["name"],
            run["sums"],
            figure(run["epsilon_spent"]),
            figure(run["epsilon_server"]),
            run["release_version"] or "none",
            "yes" if run["given_to_devices_now"] else "no",
        )
        for run in found["runs"]
    ]
    heads = ("run", "name", "sums", "epsilon", "towards the server", "release", "given to devices now")
    show_table(f"{found['device']}, {found['identity'][:16]}", heads, rows, numbers=(0, 2, 3, 4))
    left = found["left_with_run"]
    say("it is on the newest roster" if left is None else f"run {left} is the first without it", style="bold")
    for sentence in found["cannot_be_recalled"]:
        say(f"  {sentence}")


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
