"""All the randomness that privacy rests on: keys, a keyed function, key streams, uniform and normal numbers.

Everything is AES-256 or HKDF-SHA256 of the ``cryptography`` package, never a statistical generator.  A key is 32 bytes
and used once for one purpose.  In a deployment keys come from `fresh_key`; simulations derive them with `key` from the
run's seed, so that a run can be repeated, and with it its noise: such a run protects nobody from who knows the seed.
"""

from __future__ import annotations

import hashlib
import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fedrec.errors import PrivacyError

KEY_BYTES = 32
_SEED_BYTES = 32
_SALT = b"fedrec simulation key, version 1"
_SECRET_SALT = b"fedrec secret key, version 1"
_CHUNK = 1 << 18  # numbers drawn at a time, so that temporary arrays stay in the processor's cache


def key(seed: int, *labels: str | int) -> bytes:
    """Derive the 32-byte key of one purpose from a run's seed; for simulations only.

    HKDF-SHA256 (RFC 5869) with the seed, as 32 little-endian bytes, as input keying material and the
    canonical encoding of ``labels`` as info.  Different (seed, labels) give independent keys; ``("ab", "c")``,
    ``("a", "bc")``, ``(1,)`` and ``("1",)`` all differ.

    Raises:
        PrivacyError: the seed is negative or beyond 256 bits, or a label is neither text nor an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 1 << (8 * _SEED_BYTES):
        raise PrivacyError("a seed must be an integer from 0 to 2^256 - 1", value=seed)
    hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_SALT, info=encode_labels(*labels))
    return hkdf.derive(seed.to_bytes(_SEED_BYTES, "little"))


def encode_labels(*labels: str | int) -> bytes:
    """Injective encoding of a sequence of labels: for each its kind, its length in 4 bytes, and its bytes.

    Raises:
        PrivacyError: a label is neither text (that UTF-8 can hold) nor an integer.
    """
    parts: list[bytes] = []
    for label in labels:
        if isinstance(label, bool) or not isinstance(label, str | int):
            raise PrivacyError("a key's label must be text or an integer", value=label)
        kind = b"s" if isinstance(label, str) else b"i"
        try:
            body = str(label).encode()
        except (UnicodeEncodeError, ValueError):
            raise PrivacyError("a key's label has no text encoding", action="Use plain text or a number") from None
        parts += [kind, len(body).to_bytes(4, "big"), body]
    return b"".join(parts)


def fresh_key() -> bytes:
    """A new 32-byte key from the operating system's generator: what a deployment uses."""
    return os.urandom(KEY_BYTES)


def derived_key(secret: bytes, *labels: str | int) -> bytes:
    """The 32-byte key of one purpose from a secret key that stands for many; HKDF-SHA256 as in `key`.

    As secret as ``secret`` is.  Raises PrivacyError if that is not 32 bytes, or for a label as `key` does.
    """
    _check_key(secret)
    hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=_SECRET_SALT, info=encode_labels(*labels))
    return hkdf.derive(secret)


def prf_uint64(key: bytes, a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Keyed pseudo-random function of pairs of 64-bit numbers, vectorised.

    AES-256 of the block (a, b), both little-endian; the block's first 8 bytes, little-endian, are the value.  The
    same pair gives the same value on any device and in any batch.  ``a`` and ``b`` broadcast against each other.

    Returns:
        uint64 of the broadcast shape.

    Raises:
        PrivacyError: the key is not 32 bytes, an array is not uint64, or the shapes do not broadcast.
    """
    _check_key(key)
    if a.dtype != np.uint64 or b.dtype != np.uint64:
        raise PrivacyError("the keyed function takes uint64 arrays", value=(str(a.dtype), str(b.dtype)))
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise PrivacyError("the keyed function's arrays do not fit each other", value=(a.shape, b.shape)) from None
    blocks = np.empty((*shape, 2), dtype="<u8")
    blocks[..., 0] = a
    blocks[..., 1] = b
    # One block at a time is exactly what a pseudo-random permutation is for; no message is encrypted here.
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    mixed = np.frombuffer(encryptor.update(blocks.data.cast("B") if blocks.size else b""), dtype="<u8")
    return mixed.reshape(*shape, 2)[..., 0].astype(np.uint64)


def keystream(key: bytes, length: int) -> bytes:
    """``length`` bytes of AES-256-CTR from counter zero.  A shorter stream of the same key is its beginning.

    The nonce is zero, so a key must be used for one stream only.

    Raises:
        PrivacyError: the key is not 32 bytes or the length is negative.
    """
    return _encryptor(key, length).update(bytes(length))


def uniform(key: bytes, n: int) -> NDArray[np.float64]:
    """``n`` numbers uniform on the open interval (0, 1): odd multiples of 2^-53, so 0 and 1 never occur.

    The grid is symmetric about 1/2 and holds every value exactly.  Raises PrivacyError as `keystream` does.
    """
    words = np.frombuffer(keystream(key, 8 * n), dtype="<u8")
    numbers = (words >> np.uint64(12)).astype(np.float64)
    numbers += 0.5
    numbers *= 2.0**-52
    return numbers


def gaussian(key: bytes, n: int) -> NDArray[np.float64]:
    """``n`` standard normal numbers by inversion, each from 128 bits: a sign and 127 bits of tail probability.

    Exactly symmetric, and as fine in the far tail as in the middle (53 significant bits of the tail probability);
    the largest magnitude is about 13, beyond which a normal number lies with probability 2^-127.
    Raises PrivacyError as `keystream` does.
    """
    from scipy.special import ndtri  # takes longer to load than all else that ranking on a device needs of this module

    encryptor = _encryptor(key, n)
    numbers = np.empty(n, dtype=np.float64)
    for start in range(0, n, _CHUNK):
        part = numbers[start : start + _CHUNK]
        words = np.frombuffer(encryptor.update(bytes(16 * len(part))), dtype="<u8")
        high, low = words[0::2], words[1::2]
        tail = (low.astype(np.float64) + 0.5) * 2.0**-64
        tail += high >> np.uint64(1)
        tail *= 2.0**-64
        np.multiply(1.0 - 2.0 * (high & np.uint64(1)), ndtri(tail), out=part)
    return numbers


def user_hash(user_id: str) -> int:
    """A user's number, 0 to 2^64 - 1: the first 8 bytes, little-endian, of SHA-256("fedrec user" and the id).

    It names a user to keyed functions on the device that holds the user; it hides nothing (ids can be guessed).
    """
    return int.from_bytes(
        hashlib.sha256(b"fedrec user" + user_id.encode("utf-8", "surrogatepass")).digest()[:8], "little"
    )


def _encryptor(key: bytes, length: int) -> CipherContext:
    _check_key(key)
    if length < 0:
        raise PrivacyError("cannot draw a negative amount of randomness", value=length)
    return Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()


def _check_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise PrivacyError(f"a key must be {KEY_BYTES} bytes", value=f"{len(key)} bytes")
