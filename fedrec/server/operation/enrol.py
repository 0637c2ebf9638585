"""`fedrec server enrol`: the publisher signs the next run, the server takes it up; on one machine, or on two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from fedrec.enrolment.request import read_request
from fedrec.errors import ConfigError
from fedrec.queries.run_manifest import RunManifest
from fedrec.queries.run_manifest_words import trusted
from fedrec.secagg.identity import read_key
from fedrec.server.operation.install import install_run
from fedrec.server.operation.publisher import read_signed_run, sign_next
from fedrec.server.operation.running import is_up, read_running
from fedrec.server.operation.server_directory import (
    PublisherDirectory,
    ServerDirectory,
    publisher_of_deployment,
    server_of,
)

SIGNED: Final = "signed.json"


def enrol(
    directory: Path,
    files: Sequence[Path],
    withdrawn: Sequence[str],
    overrides: Sequence[str],
    users: int,
    elsewhere: Path | None,
    *,
    again: bool,
    replace: bool,
) -> dict[str, Any]:
    """Sign the next run where the publisher's keys are, and make it the server's where the server is.

    Args:
        directory: of the deployment, or of one of its halves' copies.
        files: requests of devices; on a server without the publisher's keys, what was signed elsewhere.
        withdrawn: devices that leave.
        overrides: of the publisher's settings.
        users: see `sign_next`.
        elsewhere: where the publisher's keys are; None: beside the server's.
        again: sign although nothing changes.
        replace: although a run is under way.

    Returns:
        What is said of it; ``carry``: the file to take to the server, or None.

    Raises:
        FedrecError: a file is not to be believed, there is nothing to do, or a run would be broken off.
    """
    server, publisher = server_of(directory), publisher_of_deployment(directory, elsewhere)
    has_server, has_publisher = server.facts_file.is_file(), publisher.key.is_file()
    if not has_server and not has_publisher:
        action = "Make one with fedrec server init, or give --publisher"
        raise ConfigError("there is no deployment in this directory", value=str(directory), action=action)
    if has_server and not replace:
        _refuse_to_break_off(server)
    if not has_publisher:
        return _told(_installed(server, files), None)
    return _signed(
        directory, server if has_server else None, publisher, files, withdrawn, overrides, users, again=again
    )


def _signed(
    directory: Path,
    server: ServerDirectory | None,
    publisher: PublisherDirectory,
    files: Sequence[Path],
    withdrawn: Sequence[str],
    overrides: Sequence[str],
    users: int,
    *,
    again: bool,
) -> dict[str, Any]:
    if not files and not withdrawn and not again:
        action = "Give request.json of devices, --withdraw NAME, or --again"
        raise ConfigError("there is nothing to sign", action=action)
    public = read_key(publisher.public_key)
    requests = [read_request(file, public) for file in files]
    signed, manifest = sign_next(publisher, requests, withdrawn=withdrawn, users=users, overrides=overrides)
    # Kept also where the server is at hand: what was signed is never lost to a disk that was full a moment later.
    carry = directory.absolute() / SIGNED
    signed.write(carry)
    if server is None:
        return _told(manifest, carry)
    install_run(server, signed)
    carry.unlink()
    return _told(manifest, None)


def _installed(server: ServerDirectory, files: Sequence[Path]) -> RunManifest:
    if len(files) != 1:
        action = f"Give {SIGNED}, or the place of the publisher's keys with --publisher"
        raise ConfigError("the publisher's keys are not here", value=str(server.path.parent), action=action)
    return install_run(server, read_signed_run(files[0]))


def _refuse_to_break_off(server: ServerDirectory) -> None:
    running = read_running(server)
    run = running.get("run", {})
    if is_up(running) and run.get("phase") in ("running", "paused") and run.get("sums", 0):
        action = "Wait for its end (fedrec server status), or give --replace: what devices spent on it stays spent"
        raise ConfigError("a run is under way, which this would break off", value=run.get("counter"), action=action)


def _told(manifest: RunManifest, carry: Path | None) -> dict[str, Any]:
    return {
        "counter": manifest.counter,
        "digest": manifest.digest,
        "devices": manifest.roster.devices,
        "roster_version": manifest.roster.version,
        "trust": trusted(manifest.config),
        "carry": carry,
    }
