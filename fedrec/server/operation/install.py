"""The server's half of an enrolment: take what the publisher signed, and give it away from then on."""

from __future__ import annotations

import shutil
from pathlib import Path

from fedrec.errors import ConfigError
from fedrec.queries.run_manifest import RunManifest
from fedrec.secagg.roster import Roster
from fedrec.server.federate import load_server_catalogue
from fedrec.server.operation.control import node_key_bytes
from fedrec.server.operation.newest import newest_manifest
from fedrec.server.operation.publisher import SignedRun
from fedrec.server.operation.server_directory import ServerDirectory
from fedrec.server.run_files import KEY
from fedrec.whole_files import PUBLIC, cannot_write, replace_directory, write_json, write_whole


def install_run(server: ServerDirectory, signed: SignedRun) -> RunManifest:
    """Make a signed run the server's next one, and let its devices in.

    The manifest is put where devices fetch it last, so that whoever finds it finds the rest.

    Raises:
        ConfigError: it is for another catalogue or code, or not newer than the last one.
        ProtocolError: the publisher did not sign it, or a node key is none.
        StoreError: the disk refuses; calling it again mends that.
    """
    public = bytes.fromhex(server.facts().publisher)
    manifest = RunManifest.verify(signed.manifest.encode(), public)
    roster = Roster.verify(bytes.fromhex(signed.roster), public)
    manifest.check_roster(roster)
    manifest.check_code()
    manifest.check_catalogue(load_server_catalogue(server.catalogue).features.digest())
    for _, key in signed.nodes.values():
        node_key_bytes(key)
    newest = newest_manifest(server)
    if newest is not None and newest.counter >= manifest.counter and newest.digest != manifest.digest:
        action = "Have the publisher sign again: fedrec server enrol DIR --again"
        raise ConfigError(f"the server has manifest {newest.counter} already", value=manifest.counter, action=action)
    out = server.run(manifest.counter)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (out / KEY).exists():
        write_whole(out / KEY, server.release_key.read_bytes())
    kept_manifest, kept_roster = server.run_files(manifest.counter)
    for path, data in ((kept_roster, bytes.fromhex(signed.roster)), (kept_manifest, signed.manifest.encode())):
        write_whole(path, data, mode=PUBLIC)
    nodes = {name: {"identity": identity, "node_key": key} for name, (identity, key) in signed.nodes.items()}
    write_json(server.run_nodes(manifest.counter), nodes)
    write_json(server.nodes, nodes)
    write_whole(server.roster, bytes.fromhex(signed.roster), mode=PUBLIC)
    write_whole(server.manifest, signed.manifest.encode(), mode=PUBLIC)
    return manifest


def publish_directory(source: Path, place: Path) -> None:
    """Put a copy of a directory where devices fetch it, in place of any before. Raises StoreError."""
    fresh = place.with_name(f".{place.name}.new")
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(source, fresh)
    except OSError as error:
        raise cannot_write(place, error) from None
    replace_directory(fresh, place)
