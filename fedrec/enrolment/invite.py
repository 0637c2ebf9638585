"""The invite: what a device is told once, by people and not by the server, so that it need not trust a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, field_validator

from fedrec.config.base import Settings
from fedrec.enrolment.documents import read_document
from fedrec.errors import ConfigError
from fedrec.whole_files import PUBLIC, write_whole

FORMAT: Final = "fedrec invite 1"
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_ADDRESS: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")


class Invite(Settings):
    """``address``: host:port that devices call.  ``authority``: the certificates that the server's is held to, PEM.
    ``publisher``: the public key, in hex, that signs rosters and manifests and approves releases: a device believes
    nobody else, ever.  ``catalogue``: digest of the catalogue when the invite was written, for people to compare.
    Nothing in it is secret, but who changes it on its way becomes the device's publisher."""

    format: Literal["fedrec invite 1"] = FORMAT
    name: str = Field(min_length=1, max_length=255)
    address: str = Field(max_length=300)
    authority: str = Field(min_length=1, max_length=1 << 15)
    publisher: Hex32
    catalogue: Hex32

    @field_validator("address")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parse_address(value)
        return value

    def write(self, path: Path) -> None:
        """Write it, for anybody to read. Raises StoreError."""
        write_whole(path, (self.model_dump_json(indent=2) + "\n").encode(), mode=PUBLIC)


def read_invite(path: Path) -> Invite:
    """The invite in a file. Raises ConfigError where it cannot be read, ProtocolError where it is none."""
    return read_document(path, Invite, "invite")


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``; a host of IPv6 loses its brackets. Raises ConfigError."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 1 <= int(found[2]) <= 65535:
        raise ConfigError("this is no address", value=text, action="Write HOST:PORT")
    return found[1].strip("[]"), int(found[2])
