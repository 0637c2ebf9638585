"""Keys that two devices agree on through a server that learns neither: X25519 (RFC 7748) and HKDF-SHA256 (RFC 5869).

A device's pair of one round comes from a 31-byte seed, small enough to be secret-shared; who opens the seed can repeat
what its owner agreed on.  Every derived key is bound to its purpose (label), its context and both public keys.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedrec.errors import ProtocolError, SumError

SEED_BYTES = 31
KEY_BYTES = 32
PrivateKey = X25519PrivateKey

_SALT = b"fedrec secure aggregation, version 1"
_PAIR = b"key pair"
_STREAM = b"stream"
_SHARED = b"shared"


def derive(secret: bytes, label: bytes, context: bytes = b"") -> bytes:
    """A 32-byte key for one purpose: HKDF-SHA256 of ``secret`` with an injective encoding of label and context.

    For secrets that are not agreed but drawn, such as the seed of a device's own mask.
    """
    return _hkdf(secret, _STREAM, label, context)


def key_pair(seed: bytes, label: bytes) -> tuple[PrivateKey, bytes]:
    """The X25519 pair of a 31-byte seed for one purpose: private key, and public key of 32 bytes.

    The same seed and label always give the same pair; another label gives an unrelated one.

    Raises:
        SumError: the seed is not 31 bytes.
    """
    if len(seed) != SEED_BYTES:
        raise SumError(f"a key's seed has {SEED_BYTES} bytes", value=f"{len(seed)} bytes")
    private = X25519PrivateKey.from_private_bytes(_hkdf(seed, _PAIR, label))
    return private, private.public_key().public_bytes_raw()


def shared(private: PrivateKey, peer_public: bytes, context: bytes, label: bytes, *, own_public: bytes = b"") -> bytes:
    """The 32-byte key that this private key and a peer's public key agree on, for one purpose in one context.

    Both sides get the same key if and only if they use the same label and context and mean the same two public keys,
    which enter in sorted order.  ``own_public`` saves computing one's own public key again.

    Raises:
        ProtocolError: the peer's key is malformed, or of small order so that the secret would be all zero.
    """
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(peer_public))
    except (ValueError, UnsupportedAlgorithm):
        raise ProtocolError("a device's key is not a usable public key", value=peer_public[:32].hex()) from None
    own = own_public or private.public_key().public_bytes_raw()
    return _hkdf(secret, _SHARED, label, context, *sorted((own, peer_public)))


def _hkdf(secret: bytes, *parts: bytes) -> bytes:
    # A list is faster than a generator here, and this is done a few hundred times a device and sum.
    info = b"".join([len(part).to_bytes(4, "big") + part for part in parts])
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_SALT, info=info).derive(secret)
