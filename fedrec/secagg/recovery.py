"""Opening secrets from shares some of which may be false; the result is always checked against a commitment.

As long as nobody lies a secret costs one combination.  Where a check fails, the shares are decoded (`reed_solomon`),
and whoever gave a false one is left out in the secrets that follow: an erasure costs half of what an unknown error
does, so that holders who lie about many secrets are corrected far beyond what one secret alone allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from fedrec.errors import ProtocolError
from fedrec.secagg.reed_solomon import decode, most_errors
from fedrec.secagg.shamir import Weights, combine, number_of, secret_of, value_at

# Decodings that are tried in all, beside one for each secret. Each takes some ten milliseconds with 118 shares.
SPARE_DECODINGS: Final = 256


@dataclass(frozen=True)
class SharedSecret:
    """What is known of one secret.

    ``owner``: who dealt it.  ``shares``: as they arrived, by point.  ``holders``: who gave the share at each point.
    ``check``: whether 31 bytes are the secret, by what its owner published.
    """

    owner: int
    shares: Mapping[int, bytes]
    holders: Mapping[int, int]
    check: Callable[[bytes], bool]


@dataclass
class FalseShares:
    """Who gave shares that are not on the polynomial of the rest: by holder, the owners of these secrets.

    One of the two lied each time: the holder, or the owner when it dealt.  A holder is certain to have lied where more
    owners stand against it than lie among its neighbours.
    """

    owners: dict[int, set[int]] = field(default_factory=dict)

    @property
    def holders(self) -> frozenset[int]:
        """Everybody who gave one."""
        return frozenset(self.owners)

    def certain(self, threshold: int) -> frozenset[int]:
        """Those that so many owners, or more, stand against."""
        return frozenset(holder for holder, owners in self.owners.items() if len(owners) >= threshold)

    def add(self, holder: int, owner: int) -> None:
        """Note one."""
        self.owners.setdefault(holder, set()).add(owner)


def open_many(secrets: Sequence[SharedSecret], threshold: int, false_shares: FalseShares) -> list[bytes | None]:
    """Open each secret, `None` where what was tried does not pass its check.

    A secret opens if at least ``threshold`` of its shares are true, and of the others those by holders that nothing is
    known against are at most half of what there is beyond the threshold.  Who is noted is exactly who gave a false
    share, of a secret with no more of them than that; a false share that nothing depended on may stay unseen.  Never a
    wrong secret, as far as the check goes.  At most ``len(secrets)`` + `SPARE_DECODINGS` decodings are done.

    Args:
        secrets: what is to be opened.
        threshold: shares that open a secret.
        false_shares: what is known of holders from secrets that were opened before; added to.
    """
    opening = _Opening(threshold, false_shares, len(secrets) + SPARE_DECODINGS)
    opened = [opening.combined(secret) for secret in secrets]
    pending = [at for at, found in enumerate(opened) if found is None]
    while pending and opening.decodings > 0:
        known = len(false_shares.holders)
        for at in pending:
            # Who lied about an earlier one is left out of this one, which may then open without being decoded.
            opened[at] = opening.combined(secrets[at]) or opening.decoded(secrets[at])
        pending = [at for at in pending if opened[at] is None]
        if len(false_shares.holders) == known:
            break
    opening.compare()
    return opened


@dataclass
class _Opening:
    """One call of `open_many`.

    ``decodings``: that may still be done.  ``combinations``: secrets that opened without, each with the shares used.
    """

    threshold: int
    known: FalseShares
    decodings: int
    weights: Weights = field(default_factory=dict)
    combinations: list[tuple[SharedSecret, dict[int, bytes]]] = field(default_factory=list)

    def combined(self, secret: SharedSecret) -> bytes | None:
        """From the first shares of holders that nothing is known against."""
        trusted = self._trusted(secret)
        try:
            found = combine(trusted, self.threshold, self.weights)
        except ProtocolError:
            return None
        if not secret.check(found):
            return None
        self.combinations.append((secret, {point: trusted[point] for point in sorted(trusted)[: self.threshold]}))
        return found

    def decoded(self, secret: SharedSecret) -> bytes | None:
        """From all shares but those of known liars; then from all, since an owner can make true holders look false."""
        trusted = self._trusted(secret)
        for shares in [trusted] if len(trusted) == len(secret.shares) else [trusted, secret.shares]:
            numbers = {point: number for point, share in shares.items() if (number := _number(share)) is not None}
            if len(numbers) < self.threshold or self.decodings <= 0:
                continue
            self.decodings -= 1
            found = decode(numbers, self.threshold)
            opened = None if found is None else _secret(found.constant)
            if found is None or opened is None or not secret.check(opened):
                continue
            for point, share in secret.shares.items():
                if _number(share) != found.value(point):
                    self.known.add(secret.holders[point], secret.owner)
            return opened
        return None

    def compare(self) -> None:
        """Hold all shares of secrets that opened at once to their polynomials, where a known liar gave one.

        Until `threshold` owners stand against a holder; more would say no more.
        """
        if not self.known.owners:
            return
        for secret, first in self.combinations:
            owners = [self.known.owners.get(holder) for holder in secret.holders.values()]
            if not any(found is not None and len(found) < self.threshold for found in owners):
                continue
            false = [
                point
                for point, share in secret.shares.items()
                if point not in first and _number(share) != value_at(point, first, self.weights)
            ]
            if len(false) > most_errors(len(secret.shares), self.threshold):
                # False ones among the first may have cancelled each other.
                self.decoded(secret)
                continue
            for point in false:
                self.known.add(secret.holders[point], secret.owner)

    def _trusted(self, secret: SharedSecret) -> Mapping[int, bytes]:
        owners = self.known.owners
        if not owners:
            return secret.shares
        return {point: share for point, share in secret.shares.items() if secret.holders[point] not in owners}


def _number(share: bytes) -> int | None:
    """The number that a share is, `None` of a malformed one: that is a false one."""
    try:
        return number_of(share)
    except ProtocolError:
        return None


def _secret(number: int) -> bytes | None:
    try:
        return secret_of(number)
    except ProtocolError:
        return None
