"""A Merkle tree over what all devices of a cohort advertised (RFC 9162, section 2.1, leaf and node hashes kept apart).

The server commits to everybody's keys by one hash of 32 bytes; a device checks that its own keys and its neighbours'
are under it.  A level's last node without a partner moves up as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fedrec.secagg.errors import Reason, RefusedError

HASH_BYTES = 32


def leaf(data: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All levels, from the hashed leaves (at least one) to the root."""
    tree = [list(leaves)]
    while len(tree[-1]) > 1:
        below = tree[-1]
        above = [_node(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
        tree.append(above + below[2 * len(above) :])
    return tree


def path(tree: Sequence[Sequence[bytes]], place: int) -> tuple[bytes, ...]:
    """The hashes that lead from leaf ``place`` to the root."""
    hashes = []
    for level in tree[:-1]:
        if place ^ 1 < len(level):
            hashes.append(level[place ^ 1])
        place //= 2
    return tuple(hashes)


def path_length(place: int, size: int) -> int:
    """How many hashes `path` gives in a tree of ``size`` leaves."""
    length = 0
    while size > 1:
        length += place ^ 1 < size
        place, size = place // 2, (size + 1) // 2
    return length


def check(root: bytes, size: int, place: int, hashed: bytes, hashes: Sequence[bytes]) -> None:
    """That a leaf is at ``place`` of ``size`` under the root. Raises RefusedError(BAD_PROOF) where it is not."""
    if len(hashes) == path_length(place, size):
        left = list(hashes)
        while size > 1:
            if place ^ 1 < size:
                partner = left.pop(0)
                hashed = _node(partner, hashed) if place % 2 else _node(hashed, partner)
            place, size = place // 2, (size + 1) // 2
        if hashed == root:
            return
    raise RefusedError(Reason.BAD_PROOF, "a device's keys are not among those that the cohort's root stands for")


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()
