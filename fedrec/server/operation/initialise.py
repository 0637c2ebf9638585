"""`fedrec server init`: everything that a server and its publisher need before a device is enrolled."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.config import load
from fedrec.config.simulated import is_simulated, refuse_reproducible
from fedrec.content.feature_table import load_table
from fedrec.enrolment.invite import Invite, parse_address
from fedrec.errors import ConfigError
from fedrec.randomness import fresh_key
from fedrec.release.keys import create_key
from fedrec.server.operation.certificates import Authority
from fedrec.server.operation.server_directory import (
    INVITE,
    PublisherDirectory,
    ServerDirectory,
    ServerFacts,
    publisher_of_deployment,
    server_of,
)
from fedrec.server.roster_files import create_roster_key
from fedrec.whole_files import PUBLIC, new_directory, write_json, write_whole

_TOKEN_BYTES: Final = 32


@dataclass(frozen=True)
class NewServer:
    """What an operator says.

    ``settings``: TOML file of the runs.  ``listen``: host:port to bind.  ``hosts``: names that devices call, the first
    of which goes into the invite; none: the host of ``listen``.  ``authority``: one's own, or None to have one made.
    ``publisher``: where the publisher's keys go; None: beside the server's.
    """

    settings: Path
    listen: str
    hosts: Sequence[str] = ()
    control_port: int = 9093
    monitor_port: int = 9094
    authority: tuple[Path, Path] | None = None
    publisher: Path | None = None


@dataclass(frozen=True)
class MadeServer:
    """What was made: ``invite`` is the file that devices are given."""

    server: ServerDirectory
    publisher: PublisherDirectory
    invite: Path
    address: str
    key: str


def initialise(directory: Path, catalogue: Path, wanted: NewServer) -> MadeServer:
    """Make a deployment's directories, keys, certificates and invite.

    Args:
        directory: of the deployment; must not have a server in it.
        catalogue: a directory of features (`save_features`), which is copied to both halves.
        wanted: what the operator says.

    Raises:
        ConfigError: there is one already, or a setting cannot be. ContentError: the catalogue cannot be read.
        StoreError: the disk refuses. What was half made is taken away again.
    """
    host, port = parse_address(wanted.listen)
    if len({port, wanted.control_port, wanted.monitor_port}) < 3:
        action = "Name three: --listen, --control-port, --monitor-port"
        raise ConfigError("devices, operators and the monitor need three ports", value=port, action=action)
    config = load(wanted.settings)
    refuse_reproducible(config, simulated=is_simulated())
    digest = load_table(catalogue).digest()
    authority = None if wanted.authority is None else Authority.read(*wanted.authority)
    server, publisher = server_of(directory), publisher_of_deployment(directory, wanted.publisher)
    for path in (server.path, publisher.path):
        if path.exists():
            action = "Name a new one; to change what is there, use the other commands of fedrec server"
            raise ConfigError("there is a deployment in this directory already", value=str(path), action=action)
    made: list[Path] = []
    try:
        for path in (server.path, publisher.path):
            made.append(new_directory(path))
        key = _publisher_half(publisher, wanted, catalogue, authority or Authority.fresh(f"fedrec {config.run.name}"))
        names = list(wanted.hosts) or [host]
        _server_half(server, publisher, catalogue, names, authority)
        write_json(
            server.facts_file,
            {
                "name": config.run.name,
                "listen": wanted.listen,
                "control_port": wanted.control_port,
                "monitor_port": wanted.monitor_port,
                "publisher": key,
            },
        )
        ServerFacts.model_validate_json(server.facts_file.read_bytes())
        shown = f"[{names[0]}]" if ":" in names[0] else names[0]
        invite = Invite(
            name=config.run.name,
            address=f"{shown}:{port}",
            authority=server.authority.read_text(encoding="ascii"),
            publisher=key,
            catalogue=digest,
        )
        invite.write(directory.absolute() / INVITE)
    except BaseException:
        for path in made:
            shutil.rmtree(path, ignore_errors=True)
        raise
    return MadeServer(server, publisher, directory.absolute() / INVITE, invite.address, key)


def _publisher_half(publisher: PublisherDirectory, wanted: NewServer, catalogue: Path, authority: Authority) -> str:
    key = create_roster_key(publisher.key).public.hex()
    write_whole(publisher.public_key, f"{key}\n".encode(), mode=PUBLIC)
    write_whole(publisher.settings, wanted.settings.read_bytes())
    shutil.copytree(catalogue, publisher.catalogue)
    if wanted.authority is None:
        authority.write(publisher.authority, publisher.authority_key)
    else:
        write_whole(publisher.authority, authority.certificates, mode=PUBLIC)
    return key


def _server_half(
    server: ServerDirectory, publisher: PublisherDirectory, catalogue: Path, names: list[str], given: Authority | None
) -> None:
    authority = given or Authority.read(publisher.authority, publisher.authority_key)
    write_whole(server.authority, authority.certificates, mode=PUBLIC)
    authority.write_server(server.certificate, server.key, names)
    write_whole(server.token, f"{secrets.token_urlsafe(_TOKEN_BYTES)}\n".encode())
    write_whole(server.superexec_secret, fresh_key())
    create_key(server.release_key)
    for path in (server.logs, server.runs, server.flower_home, server.public):
        path.mkdir(mode=0o700)
    shutil.copytree(catalogue, server.catalogue)
