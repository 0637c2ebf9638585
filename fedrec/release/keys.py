"""The key that releases are signed with: Ed25519 (RFC 8032), in a file that only its owner can read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import NoReturn

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fedrec.errors import ReleaseError

# A device that only checks signatures starts anew for each list: what reads and writes key files is loaded there.
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
_LARGEST_KEY_FILE = 4096


class SigningKey:
    """A secret signing key. It shows its fingerprint only, and can be neither copied nor pickled."""

    __slots__ = ("_secret", "public")

    def __init__(self, secret: Ed25519PrivateKey) -> None:
        self._secret = secret
        self.public = secret.public_key().public_bytes_raw()

    @classmethod
    def fresh(cls) -> SigningKey:
        """A new key from the operating system's generator, in memory only."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def fingerprint(self) -> str:
        """How people name the key, see `fingerprint`."""
        return fingerprint(self.public)

    def sign(self, context: bytes, message: bytes) -> bytes:
        """Signature (64 bytes) of a message for one purpose; ``context`` keeps it from standing for any other."""
        return self._secret.sign(_labelled(context, message))

    def __repr__(self) -> str:
        return f"SigningKey({self.fingerprint})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key stays where it is")

    def __copy__(self) -> NoReturn:
        self.__reduce__()

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce__()


def fingerprint(public: bytes) -> str:
    """SHA-256 of a public key as ``sha256:`` and 64 hex digits; what to compare over another channel."""
    return f"sha256:{hashlib.sha256(public).hexdigest()}"


def verify(public: bytes, context: bytes, message: bytes, signature: bytes) -> None:
    """Check a signature made by `SigningKey.sign`. Raises ReleaseError where it does not hold."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _labelled(context, message))
    except (InvalidSignature, ValueError):
        raise ReleaseError(
            "the signature does not hold", action="Take a fresh copy from the publisher; do not use this one"
        ) from None


def create_key(path: Path) -> SigningKey:
    """Make a key and write it to a new file with mode 0600 (PEM, PKCS8).

    Raises:
        ReleaseError: the file exists already (a key is never written over) or cannot be written.
    """
    import tempfile

    from cryptography.hazmat.primitives import serialization

    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.") as file:  # mode 0600
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
            # A link is there whole or not at all, wherever the process is killed, and never takes a file's place.
            os.link(file.name, path)
    except FileExistsError:
        raise ReleaseError(
            "there is a file already where the signing key should go",
            value=path.name,
            action="Load it, or move it away",
        ) from None
    except OSError as error:
        raise ReleaseError(f"cannot write the signing key: {error.strerror}", value=path.name) from None
    return SigningKey(key)


def load_key(path: Path) -> SigningKey:
    """Read a key that `create_key` wrote.

    Raises:
        ReleaseError: no such file, others than its owner may read it, or it holds no Ed25519 key.
    """
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise ReleaseError(
                    "others may read the signing key", value=path.name, action="Run chmod 600 on it, or make a new key"
                )
            pem = file.read(_LARGEST_KEY_FILE)
    except OSError as error:
        raise ReleaseError(
            f"cannot read the signing key: {error.strerror}", value=path.name, action="Create one first"
        ) from None
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        secret = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        secret = None
    if not isinstance(secret, Ed25519PrivateKey):
        raise ReleaseError("the file holds no Ed25519 signing key", value=path.name, action="Create one with fedrec")
    return SigningKey(secret)


def public_from_text(text: str) -> bytes:
    """A public key from its 64 hex digits, as ``SigningKey.public.hex()`` gives them. Raises ReleaseError."""
    try:
        public = bytes.fromhex(text.strip())
    except ValueError:
        public = b""
    if len(public) != PUBLIC_BYTES:
        raise ReleaseError("a public key is 64 hex digits", action="Ask the publisher for the public key")
    return public


def read_public_key(path: Path) -> bytes:
    """The public key in a file, written as its 64 hex digits. Raises ReleaseError."""
    try:
        with path.open(encoding="ascii") as file:
            return public_from_text(file.read(_LARGEST_KEY_FILE))
    except (OSError, UnicodeDecodeError):
        action = "Give a file with the publisher's public key, 64 hex digits"
        raise ReleaseError("the public key cannot be read", value=path.name, action=action) from None


def _labelled(context: bytes, message: bytes) -> bytes:
    """The context, its length before it, then the message: no two pairs give the same bytes."""
    return len(context).to_bytes(8, "big") + context + message
