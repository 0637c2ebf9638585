"""A key of 32 bytes as a file of 64 hex digits: what `fedrec roster key` writes and devices are given."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedrec.errors import ConfigError

KEY_BYTES: Final = 32
_LARGEST: Final = 4096


def read_key(path: Path) -> bytes:
    """The key in a file. Raises ConfigError where the file cannot be read or holds anything else."""
    try:
        with path.open("rb") as file:
            found = bytes.fromhex(file.read(_LARGEST).decode("ascii").strip())
    except OSError as error:
        action = "Give the file that fedrec roster key wrote"
        raise ConfigError(f"the key cannot be read: {error.strerror}", value=path.name, action=action) from None
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise ConfigError("a key file has 64 hex digits", value=path.name, action="Give the file that fedrec wrote")
    return found
