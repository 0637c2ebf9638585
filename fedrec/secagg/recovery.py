"""Opening secrets from shares some of which may be false; the result is always checked against a commitment.

As long as nobody lies a secret costs one combination.  Where a check fails, each share is held to what its owner
committed itself to (`share_box`), and those that do not fit are left out: any threshold of true ones is enough, whoever
lies in the others.  Only shares that an owner dealt so that they do not fit together are decoded (`reed_solomon`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fedrec.errors import ProtocolError
from fedrec.secagg.reed_solomon import decode
from fedrec.secagg.shamir import Weights, combine, number_of, secret_of


@dataclass(frozen=True)
class SharedSecret:
    """What is known of one secret.

    ``owner``: who dealt it.  ``shares``: as they arrived, by point.  ``holders``: who gave the share at each point.
    ``dealt``: whether the share at a point is the one that its owner committed itself to.  ``check``: whether 31 bytes
    are the secret, by what its owner published.
    """

    owner: int
    shares: Mapping[int, bytes]
    holders: Mapping[int, int]
    dealt: Callable[[int, bytes], bool]
    check: Callable[[bytes], bool]


@dataclass
class Liars:
    """Who is proved to have lied, by its own signed messages.

    ``holders``: gave another share than they had been dealt and not complained of.  ``owners``: dealt shares that are
    not of the secret that they committed themselves to.
    """

    holders: set[int] = field(default_factory=set)
    owners: set[int] = field(default_factory=set)


def open_many(secrets: Sequence[SharedSecret], threshold: int, liars: Liars) -> list[bytes | None]:
    """Open each secret, `None` where that is not possible. Never a wrong one, as far as the check goes.

    A secret of an honest owner opens if ``threshold`` of its shares are true.  One of an owner who dealt false shares
    opens if of n true to what was dealt at most (n - threshold) / 2 are off the polynomial of the others.  A lie on
    which nothing depends may stay unseen.

    Args:
        secrets: what is to be opened.
        threshold: shares that open a secret.
        liars: is told who lied.
    """
    weights: Weights = {}
    return [_open(secret, threshold, weights, liars) for secret in secrets]


def _open(secret: SharedSecret, threshold: int, weights: Weights, liars: Liars) -> bytes | None:
    found = _combined(secret, secret.shares, threshold, weights)
    if found is not None:
        return found
    true = {point: share for point, share in secret.shares.items() if secret.dealt(point, share)}
    liars.holders.update(secret.holders[point] for point in secret.shares.keys() - true.keys())
    if len(true) < threshold:
        return None
    found = _combined(secret, true, threshold, weights)
    if found is not None:
        return found
    liars.owners.add(secret.owner)
    return _decoded(secret, true, threshold)


def _combined(secret: SharedSecret, shares: Mapping[int, bytes], threshold: int, weights: Weights) -> bytes | None:
    try:
        found = combine(shares, threshold, weights)
    except ProtocolError:
        return None
    return found if secret.check(found) else None


def _decoded(secret: SharedSecret, shares: Mapping[int, bytes], threshold: int) -> bytes | None:
    numbers = {}
    for point, share in shares.items():
        try:
            numbers[point] = number_of(share)
        except ProtocolError:
            continue
    decoded = decode(numbers, threshold)
    try:
        found = None if decoded is None else secret_of(decoded.constant)
    except ProtocolError:
        return None
    return found if found is not None and secret.check(found) else None
