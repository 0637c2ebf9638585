"""From the release of a finished run to what devices fetch: looked at, approved by the publisher, put in place."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Final

from fedrec.errors import ConfigError, ReleaseError
from fedrec.release.approve import approve_release
from fedrec.release.bundle import Release, read_release
from fedrec.release.keys import load_key
from fedrec.release.manifest import MANIFEST, Manifest
from fedrec.secagg.identity import DeviceIdentity
from fedrec.server.operation.install import publish_directory
from fedrec.server.operation.newest import newest_manifest
from fedrec.server.operation.running import is_up, read_running
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.server.run_files import RECORD, RELEASE

_PAUSE_SECONDS: Final = 0.2


def finished_release(server: ServerDirectory, *, wait: float = 0.0) -> Path:
    """Where the newest run's release is, signed by this server.

    Args:
        server: whose.
        wait: seconds that the run has to come to its end.

    Raises:
        ConfigError: there is no run, or it has not ended, or it ended without a release.
        ReleaseError: the release is damaged, or another's.
    """
    manifest = newest_manifest(server)
    if manifest is None:
        raise ConfigError("no device is enrolled yet, so there is no run", action="See fedrec server enrol")
    out, end = server.run(manifest.counter), time.monotonic() + wait
    while not (out / RECORD).is_file():
        running = read_running(server)
        kept = running.get("run", {})
        if time.monotonic() >= end or kept.get("phase") == "stopped" or not is_up(running):
            said = str(kept.get("said", "")) if is_up(running) else "the server is not up"
            raise ConfigError(f"run {manifest.counter} is not finished", value=said, action="See fedrec server status")
        time.sleep(_PAUSE_SECONDS)
    read_release(out / RELEASE, trusted_key=load_key(server.release_key).public)
    return out / RELEASE


def approve_and_publish(server: ServerDirectory, release: Path, publisher: DeviceIdentity) -> Release:
    """Approve a release with the publisher's key, and give it to devices. Raises as `publish_release`."""
    if publisher.public.hex() != server.facts().publisher:
        action = "Give the key that fedrec server init made"
        raise ConfigError("this is not the key of the server's publisher", action=action)
    approved = release.with_name(f".{release.name}.approved")
    shutil.rmtree(approved, ignore_errors=True)
    shutil.copytree(release, approved)
    try:
        approve_release(approved, publisher)
        return publish_release(server, approved)
    finally:
        shutil.rmtree(approved, ignore_errors=True)


def publish_release(server: ServerDirectory, release: Path) -> Release:
    """Give devices a release that the publisher has approved.

    Raises:
        ReleaseError: it is not approved, damaged, or not newer than the one that devices have.
        StoreError: the disk refuses.
    """
    found = read_release(release, publisher=bytes.fromhex(server.facts().publisher))
    before = server.release / MANIFEST
    if before.is_file():
        last = Manifest.from_bytes(before.read_bytes())
        if found.version < last.version:
            action = "Devices take no older one: make a new run"
            raise ReleaseError(f"devices are given version {last.version} already", value=found.version, action=action)
    publish_directory(release, server.release)
    return found
