"""Sealed boxes in which shares travel from device to device through the server: ChaCha20-Poly1305 (RFC 8439).

Each direction of each context has a key of its own, so that the nonce can be constant, and who sealed a box for whom
and in which context is authenticated with it.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fedrec.errors import ProtocolError, SumError

KEY_BYTES = 32
TAG_BYTES = 16
_NONCE = bytes(12)
_SALT = b"fedrec share box, version 1"


def seal(key: bytes, from_id: bytes, to_id: bytes, context: bytes, plaintext: bytes) -> bytes:
    """The box: len(plaintext) + 16 bytes that only a holder of ``key`` can read, or have made.

    ``key``: 32 bytes that these two devices agreed on in this round.  The box's own key is derived from it for this
    sender, receiver and context, so a sender must not seal two different texts to one receiver in one context.

    Raises:
        SumError: the key is not 32 bytes.
    """
    bound = _bind(from_id, to_id, context)
    return _cipher(key, bound).encrypt(_NONCE, plaintext, bound)


def open_box(key: bytes, from_id: bytes, to_id: bytes, context: bytes, box: bytes) -> bytes:
    """What ``from_id`` sealed for ``to_id`` in this context.

    Raises:
        SumError: the key is not 32 bytes.
        ProtocolError: the box was not sealed with this key, sender, receiver and context, or was changed.
    """
    bound = _bind(from_id, to_id, context)
    try:
        return _cipher(key, bound).decrypt(_NONCE, box, bound)
    except (InvalidTag, ValueError):
        raise ProtocolError("a box of shares does not open", action="Its sender or the server changed it") from None


def _cipher(key: bytes, bound: bytes) -> ChaCha20Poly1305:
    if len(key) != KEY_BYTES:
        raise SumError(f"a box's key has {KEY_BYTES} bytes", value=f"{len(key)} bytes")
    return ChaCha20Poly1305(HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_SALT, info=bound).derive(key))


def _bind(*parts: bytes) -> bytes:
    return b"".join([len(part).to_bytes(4, "big") + part for part in parts])
