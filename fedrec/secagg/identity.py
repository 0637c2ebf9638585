"""Who a device is: an Ed25519 key (RFC 8032) that is made on the device and never leaves it.

The public key, 32 bytes, is the device's id.  A roster lists the ids that may take part.  In a file a key, public
or secret, is 64 hex digits: what `fedrec roster key` writes and devices are given.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedrec.errors import ConfigError, ProtocolError
from fedrec.secagg.errors import Reason, RefusedError

ID_BYTES = 32
SIGNATURE_BYTES = 64
_LARGEST_FILE: Final = 4096


class DeviceIdentity:
    """A device's secret identity. It shows its public id only, and can be neither copied nor pickled."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: Ed25519PrivateKey) -> None:
        self._secret = secret
        self.public = secret.public_key().public_bytes_raw()

    @classmethod
    def fresh(cls) -> DeviceIdentity:
        """A new identity from the operating system's generator, in memory only."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_bytes(cls, secret: bytes) -> DeviceIdentity:
        """What `private_bytes` gave, from the device's own store. Raises ProtocolError where it is not 32 bytes."""
        if len(secret) != ID_BYTES:
            action = "Make a new identity and have it put in the roster"
            raise ProtocolError("a stored identity is damaged", value=f"{len(secret)} bytes", action=action)
        return cls(Ed25519PrivateKey.from_private_bytes(secret))

    def private_bytes(self) -> bytes:
        """The secret, 32 bytes, for the device's own store and nowhere else."""
        return self._secret.private_bytes_raw()

    def sign(self, label: bytes, message: bytes) -> bytes:
        """Signature (64 bytes) of a message for one purpose; ``label`` keeps it from standing for any other."""
        return self._secret.sign(_labelled(label, message))

    def __repr__(self) -> str:
        return f"DeviceIdentity({self.public.hex()[:16]})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity stays on its device")

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce__()


def verify(public: bytes, label: bytes, message: bytes, signature: bytes) -> None:
    """Check what `DeviceIdentity.sign` made. Raises RefusedError(BAD_SIGNATURE) where it does not hold."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _labelled(label, message))
    except (InvalidSignature, ValueError):
        raise RefusedError(Reason.BAD_SIGNATURE, "a signature does not hold", value=public.hex()[:16]) from None


def read_key(path: Path) -> bytes:
    """Read a key, 32 bytes, from its file. Raises ConfigError where that cannot be read or holds anything else."""
    try:
        with path.open("rb") as file:
            found = bytes.fromhex(file.read(_LARGEST_FILE).decode("ascii").strip())
    except OSError as error:
        action = "Give the file that fedrec roster key wrote"
        raise ConfigError(f"the key cannot be read: {error.strerror}", value=path.name, action=action) from None
    except ValueError:
        found = b""
    if len(found) != ID_BYTES:
        raise ConfigError("a key file has 64 hex digits", value=path.name, action="Give the file that fedrec wrote")
    return found


def _labelled(label: bytes, message: bytes) -> bytes:
    """Purpose, its length before it, then the message: no two pairs give the same bytes."""
    return b"fedrec secagg" + len(label).to_bytes(4, "big") + label + message
