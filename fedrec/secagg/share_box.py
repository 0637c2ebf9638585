"""A box of shares: sealed for its holder, with commitments to each share in the open.

Who deals shares signs the commitments, and a holder complains about a box that does not hold what they say.  So a share
that is opened later and does not fit is its holder's lie, and shares that all fit and do not fit together are their
owner's: each can be told at once and by itself, whatever others do, and whom a round blames has earned it.

A share is uniform over a field of 255 bits, also for somebody who has fewer shares than the threshold, so that its
commitment says nothing about it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from fedrec.errors import ProtocolError
from fedrec.secagg import sealed_shares
from fedrec.secagg.sealed_shares import TAG_BYTES
from fedrec.secagg.shamir import SHARE_BYTES, number_of

COMMITMENT_BYTES: Final = 16
_SEALED_BYTES: Final = 2 * SHARE_BYTES + TAG_BYTES
BOX_BYTES: Final = _SEALED_BYTES + 2 * COMMITMENT_BYTES
# Which secret a share is of.
MASK: Final = b"mask"
OWN: Final = b"own"


def share_commitment(secret: bytes, owner: bytes, holder: bytes, context: bytes, share: bytes) -> bytes:
    """The first 16 bytes of SHA-256 over a share, and whose it is in which context.

    ``secret``: `MASK` or `OWN`.  Another share that fits takes 2^128 hashes to find.
    """
    bound = bytes((len(secret),)) + secret + owner + holder + context
    return hashlib.sha256(b"fedrec secagg share commitment" + bound + share).digest()[:COMMITMENT_BYTES]


def make_box(key: bytes, owner: bytes, holder: bytes, context: bytes, mask: bytes, own: bytes) -> bytes:
    """The box, `BOX_BYTES` long. ``mask``, ``own``: shares of the owner's mask key's seed, and own mask's seed."""
    sealed = sealed_shares.seal(key, owner, holder, context, mask + own)
    return sealed + b"".join(_commitments(owner, holder, context, mask, own))


def read_box(key: bytes, owner: bytes, holder: bytes, context: bytes, box: bytes) -> tuple[bytes, bytes]:
    """The shares in a box: of the owner's mask key's seed, and of its own mask's.

    Raises:
        ProtocolError: it does not open, or holds something else than it says, or nothing that is a share.
    """
    opened = sealed_shares.open_box(key, owner, holder, context, box[:_SEALED_BYTES])
    mask, own = opened[:SHARE_BYTES], opened[SHARE_BYTES:]
    if _commitments(owner, holder, context, mask, own) != commitments_of(box):
        raise ProtocolError("a box holds other shares than its owner committed itself to")
    number_of(mask)
    number_of(own)
    return mask, own


def _commitments(owner: bytes, holder: bytes, context: bytes, mask: bytes, own: bytes) -> tuple[bytes, bytes]:
    return (
        share_commitment(MASK, owner, holder, context, mask),
        share_commitment(OWN, owner, holder, context, own),
    )


def commitments_of(box: bytes) -> tuple[bytes, bytes]:
    """To the share of the mask key's seed, and to that of the own mask's."""
    return box[_SEALED_BYTES : _SEALED_BYTES + COMMITMENT_BYTES], box[_SEALED_BYTES + COMMITMENT_BYTES :]
