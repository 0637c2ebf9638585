"""A roster and the key that signs it, as files. The key is whoever's that vouches for the devices, not the server's."""

from __future__ import annotations

import os
from pathlib import Path

from fedrec.errors import ConfigError, ProtocolError
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity, read_key
from fedrec.secagg.roster import Roster


def create_roster_key(path: Path) -> DeviceIdentity:
    """Make a key, and write it to a new file that only its owner can read, as 64 hex digits.

    Raises:
        ConfigError: the file exists already (a key is never written over) or cannot be written.
    """
    key = DeviceIdentity.fresh()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(key.private_bytes().hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        action = "Move what is there away, or name another file"
        raise ConfigError(f"cannot write the roster key: {error.strerror}", value=path.name, action=action) from None
    return key


def load_roster_key(path: Path) -> DeviceIdentity:
    """Read what `create_roster_key` wrote. Raises ConfigError: no such file, others may read it, or it holds no key."""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigError("others may read the roster key", value=path.name, action="Run chmod 600 on it")
    except OSError as error:
        action = "Make one with fedrec roster key"
        raise ConfigError(f"cannot read the roster key: {error.strerror}", value=path.name, action=action) from None
    return DeviceIdentity.from_private_bytes(read_key(path))


def read_identities(path: Path) -> list[bytes]:
    """Device ids in a text file, one a line as ``fedrec device identity`` prints them; empty lines do not count.

    Raises:
        ConfigError: the file cannot be read, or a line is no id.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        action = "Give a text file with an id a line"
        raise ConfigError("the ids cannot be read", value=path.name, action=action) from None
    ids = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            ids.append(bytes.fromhex(line.strip()))
        except ValueError:
            raise ConfigError(f"line {number} is no device id", action="An id is 64 hex digits") from None
    return ids


def write_roster(path: Path, roster: Roster, key: DeviceIdentity) -> None:
    """Sign a roster into a file; it is there whole or not at all. Raises ConfigError where it cannot be written."""
    write_signed(path, roster.sign(key))


def write_signed(path: Path, data: bytes) -> None:
    """Write what a publisher signed to a file, whole or not at all. Raises ConfigError where it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".new")
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(
            f"cannot write a signed file: {error.strerror}", value=path.name, action="Name another file"
        ) from None


def read_roster(path: Path, public: bytes | None = None) -> Roster:
    """A signed roster. ``public``: the roster key; None where nothing hangs on who signed it, as for a server.

    Raises:
        ConfigError: the file cannot be read. ProtocolError: it holds no roster, or one that the key did not sign.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        action = "Make one with fedrec roster sign"
        raise ConfigError(f"no roster: {error.strerror}", value=path.name, action=action) from None
    if public is not None:
        return Roster.verify(data, public)
    if len(data) <= SIGNATURE_BYTES:
        raise ProtocolError("the file holds no roster", value=path.name, action="Make one with fedrec roster sign")
    return Roster.from_bytes(data[:-SIGNATURE_BYTES])
