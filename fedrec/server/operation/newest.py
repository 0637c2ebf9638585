"""The manifest that devices are given now."""

from __future__ import annotations

from fedrec.queries.run_manifest import RunManifest, read_manifest
from fedrec.server.operation.server_directory import ServerDirectory


def newest_manifest(server: ServerDirectory) -> RunManifest | None:
    """It, held to the publisher's key; None before the first. Raises ProtocolError where it is damaged."""
    if not server.manifest.is_file():
        return None
    return read_manifest(server.manifest, bytes.fromhex(server.facts().publisher))
