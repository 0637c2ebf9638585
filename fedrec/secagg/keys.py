"""Every key and check value of the protocol, each under a label and a context of its own.

Both sides derive them here: the server repeats, from opened secrets, what the devices did.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from fedrec.errors import ProtocolError
from fedrec.secagg.agreement import PrivateKey, derive, key_pair, shared
from fedrec.secagg.messages import RECEIPT_BYTES
from fedrec.secagg.shamir import SECRET_BYTES

SEED_BYTES = SECRET_BYTES
_PROBE = key_pair(bytes(SEED_BYTES), b"probe")


def mask_pair(seed: bytes) -> tuple[PrivateKey, bytes]:
    """The key pair that masks are agreed with; its seed is shared, and opened if the device drops out."""
    return key_pair(seed, b"mask pair")


def box_pair(seed: bytes) -> tuple[PrivateKey, bytes]:
    """The key pair that boxes are sealed with; its seed never leaves the device."""
    return key_pair(seed, b"box pair")


def mask_key(private: PrivateKey, own_public: bytes, peer_public: bytes, view: bytes) -> bytes:
    """The key of the mask between two neighbours. Raises ProtocolError for an unusable public key."""
    return shared(private, peer_public, view, b"mask", own_public=own_public)


def own_mask_key(seed: bytes, view: bytes) -> bytes:
    """The key of the mask that is a device's own: the server removes it from a survivor's vector, and from no other."""
    return derive(seed, b"own mask", view)


def usable(public: bytes) -> bool:
    """Whether anything secret can be agreed with a public key; not so for malformed ones and those of small order."""
    try:
        shared(_PROBE[0], public, b"", b"probe", own_public=_PROBE[1])
    except ProtocolError:
        return False
    return True


def box_key(private: PrivateKey, own_public: bytes, peer_public: bytes, context: bytes) -> bytes:
    """The key of boxes and receipts between two neighbours. Raises ProtocolError for an unusable public key."""
    return shared(private, peer_public, context, b"box", own_public=own_public)


def receipt(key: bytes, from_id: bytes, to_id: bytes, view: bytes) -> bytes:
    """What only these two neighbours can make: the word of ``from_id`` that it has masked under ``view``; 16 bytes."""
    return derive(key, b"receipt", view + from_id + to_id)[:RECEIPT_BYTES]


def same(a: bytes, b: bytes) -> bool:
    """Whether two check values are equal, in constant time."""
    return compare_digest(a, b)


def commitment(label: bytes, device: bytes, context: bytes, secret: bytes) -> bytes:
    """SHA-256 over a secret of 248 random bits: hides it, and shows up any other that is opened in its place."""
    return hashlib.sha256(
        b"fedrec secagg commitment" + bytes((len(label),)) + label + device + context + secret
    ).digest()


def self_commitment(device: bytes, context: bytes, seed: bytes) -> bytes:
    """To the seed of a device's own mask."""
    return commitment(b"self", device, context, seed)


def sign(own: int, neighbour: int) -> int:
    """+1 or -1: what one neighbour adds to its vector the other subtracts. By places in the cohort."""
    return 1 if own < neighbour else -1
