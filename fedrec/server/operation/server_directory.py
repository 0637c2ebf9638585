"""Where everything of a server is, and where its publisher's things are: two directories, best on two machines.

DIR/server/      what the server needs: certificate, state of Flower, runs, and what it gives away
DIR/publisher/   the keys that devices believe; whoever has them decides what devices take part in
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import Field

from fedrec.config.base import Settings
from fedrec.enrolment.documents import read_document
from fedrec.enrolment.invite import Hex32
from fedrec.enrolment.public_paths import CATALOGUE, MANIFEST, RELEASE, ROSTER
from fedrec.errors import ConfigError

SERVER: Final = "server"
PUBLISHER: Final = "publisher"
INVITE: Final = "invite.json"
NODES: Final = "nodes.json"


class ServerFacts(Settings):
    """What `fedrec server init` settled.  ``listen``: host:port that devices call, as the server binds it.
    ``control_port``, ``monitor_port``: on loopback, for operators on the machine.  ``publisher``: public key, hex."""

    name: str
    listen: str
    control_port: int = Field(ge=1, le=65535)
    monitor_port: int = Field(ge=1, le=65535)
    publisher: Hex32


@dataclass(frozen=True)
class ServerDirectory:
    """``path``: ``DIR/server``. Only names; nothing is looked at."""

    path: Path

    @property
    def facts_file(self) -> Path:
        return self.path / "server-facts.json"

    @property
    def authority(self) -> Path:
        """The authority's certificates: public."""
        return self.path / "ca.pem"

    @property
    def certificate(self) -> Path:
        return self.path / "server.pem"

    @property
    def key(self) -> Path:
        return self.path / "server.key"

    @property
    def token(self) -> Path:
        """What opens the metrics."""
        return self.path / "token"

    @property
    def superexec_secret(self) -> Path:
        """What opens Flower's runtime API to the SuperExec, and to no other process of this machine."""
        return self.path / "superexec.secret"

    @property
    def release_key(self) -> Path:
        """What signs the releases that this server makes."""
        return self.path / "release.key"

    @property
    def database(self) -> Path:
        """Flower's own record of nodes and runs."""
        return self.path / "superlink.db"

    @property
    def flower_home(self) -> Path:
        return self.path / "flower"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def state(self) -> Path:
        """What `fedrec server up` is at: see `fedrec.server.operation.running`."""
        return self.path / "running.json"

    @property
    def nodes(self) -> Path:
        """Which SuperNodes are let in: device's name -> public keys."""
        return self.path / NODES

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    def run(self, counter: int) -> Path:
        """Where the run of the manifest with this counter leaves what it leaves."""
        return self.runs / f"{counter:06d}"

    def run_files(self, counter: int) -> tuple[Path, Path]:
        """The manifest and the roster of a run, as they were signed."""
        return self.run(counter) / MANIFEST, self.run(counter) / ROSTER

    def run_nodes(self, counter: int) -> Path:
        """Which devices a run was signed for, by name."""
        return self.run(counter) / NODES

    @property
    def public(self) -> Path:
        """What every device may fetch; see `fedrec.enrolment.public_paths`."""
        return self.path / "public"

    @property
    def catalogue(self) -> Path:
        return self.public / CATALOGUE

    @property
    def manifest(self) -> Path:
        return self.public / MANIFEST

    @property
    def roster(self) -> Path:
        return self.public / ROSTER

    @property
    def release(self) -> Path:
        return self.public / RELEASE

    def facts(self) -> ServerFacts:
        """What was settled when it was made. Raises ConfigError where this is no server's directory."""
        if not self.facts_file.is_file():
            action = "Make one with fedrec server init"
            raise ConfigError("there is no server in this directory", value=str(self.path.parent), action=action)
        return read_document(self.facts_file, ServerFacts, "server's facts")


@dataclass(frozen=True)
class PublisherDirectory:
    """``path``: where the publisher's secret keys are. Only names."""

    path: Path

    @property
    def key(self) -> Path:
        """Signs rosters and manifests, and approves releases."""
        return self.path / "publisher.key"

    @property
    def public_key(self) -> Path:
        return self.path / "publisher.key.pub"

    @property
    def authority(self) -> Path:
        return self.path / "ca.pem"

    @property
    def authority_key(self) -> Path:
        """Signs the server's certificate; not there where the operator brought an authority."""
        return self.path / "ca.key"

    @property
    def settings(self) -> Path:
        return self.path / "settings.toml"

    @property
    def catalogue(self) -> Path:
        """What the publisher signs is looked at here, not where the server could change it."""
        return self.path / "catalogue"

    @property
    def devices(self) -> Path:
        """Which devices are enrolled, and the last roster and manifest."""
        return self.path / "devices.json"


def server_of(directory: Path) -> ServerDirectory:
    """The server's half of a deployment."""
    return ServerDirectory(directory.absolute() / SERVER)


def publisher_of_deployment(directory: Path, elsewhere: Path | None = None) -> PublisherDirectory:
    """The publisher's half: beside the server's, or ``elsewhere``."""
    return PublisherDirectory((elsewhere or directory / PUBLISHER).absolute())


def check_private(path: Path) -> None:
    """Raise ConfigError where others than its owner may look into a directory with secrets."""
    if os.name == "posix" and path.is_dir() and path.stat().st_mode & 0o077:
        action = "Take the rights of others away: chmod 700 DIRECTORY"
        raise ConfigError("others may look into the directory", value=str(path), action=action)
