"""Where everything of one device is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.config.base import Settings
from fedrec.enrolment.documents import read_document
from fedrec.enrolment.invite import Invite, read_invite
from fedrec.enrolment.request import DeviceName
from fedrec.errors import ConfigError

STORE: Final = "store.sqlite"


class DeviceFacts(Settings):
    """``name``: what people call it.  ``store``: path of its event store, from the device's directory."""

    name: DeviceName
    store: str


@dataclass(frozen=True)
class DeviceDirectory:
    """``path``: the device's. Only names; nothing is looked at."""

    path: Path

    @property
    def facts_file(self) -> Path:
        return self.path / "device.json"

    @property
    def invite_file(self) -> Path:
        return self.path / "invite.json"

    @property
    def request(self) -> Path:
        """What the publisher is sent, to be enrolled."""
        return self.path / "request.json"

    @property
    def node_key(self) -> Path:
        return self.path / "node.key"

    @property
    def authority(self) -> Path:
        """What the server's certificate is held to."""
        return self.path / "ca.pem"

    @property
    def runs(self) -> Path:
        """A directory for each manifest that the device took: manifest and roster."""
        return self.path / "runs"

    @property
    def catalogues(self) -> Path:
        """A directory for each catalogue, named by its digest."""
        return self.path / "catalogues"

    @property
    def release(self) -> Path:
        """What `fedrec recommend` ranks by."""
        return self.path / "release"

    @property
    def log(self) -> Path:
        return self.path / "device.log"

    @property
    def state(self) -> Path:
        """What `fedrec device up` is at."""
        return self.path / "running.json"

    def facts(self) -> DeviceFacts:
        """What was settled when it was made. Raises ConfigError where this is no device's directory."""
        if not self.facts_file.is_file():
            action = "Make one with fedrec device init"
            raise ConfigError("there is no device in this directory", value=str(self.path), action=action)
        return read_document(self.facts_file, DeviceFacts, "device's facts")

    @property
    def store(self) -> Path:
        """Its event store. Raises ConfigError as `facts`."""
        return self.path / self.facts().store

    def invite(self) -> Invite:
        """What it was told once. Raises ConfigError where it is gone, ProtocolError where it is damaged."""
        return read_invite(self.invite_file)


def device_directory(path: Path) -> DeviceDirectory:
    """The directory at a path."""
    return DeviceDirectory(path.absolute())
