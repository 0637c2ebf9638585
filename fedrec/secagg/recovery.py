"""Opening secrets from shares some of which may be false; the result is always checked against a commitment."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedrec.errors import ProtocolError
from fedrec.secagg.shamir import combine, combine_many

TRIES = 256
_OPINIONS = 8


@dataclass(frozen=True)
class RecoveredSecrets:
    """A secret (31 bytes) that passed its check, and the holders (points) whose shares do not lie on it."""

    secret: bytes
    false: tuple[int, ...] = ()


def open_many(
    shares: Sequence[Mapping[int, bytes]], threshold: int, checks: Sequence[Callable[[bytes], bool]]
) -> list[RecoveredSecrets | None]:
    """Open each secret from its shares by point, `None` where no combination that was tried passes its check.

    Costs one combination a secret as long as nobody lies.
    """
    try:
        quick: Sequence[bytes | None] = combine_many(shares, threshold)
    except ProtocolError:
        quick = [None] * len(shares)
    return [
        RecoveredSecrets(found) if found is not None and check(found) else search(given, threshold, check)
        for given, check, found in zip(shares, checks, quick, strict=True)
    ]


def search(shares: Mapping[int, bytes], threshold: int, check: Callable[[bytes], bool]) -> RecoveredSecrets | None:
    """Try up to `TRIES` sets of shares; then say which other shares are false.

    Who is named false is certain for up to half as many as there are shares beyond the threshold, a hint otherwise.
    A false share leaves at least a good part of the sets without it: with a fifth of 30 shares false and a threshold
    of 17, one set in 80 is clean.  Which sets are tried follows from the points alone.
    """
    points = sorted(shares)
    if len(points) < threshold:
        return None
    order = random.Random(len(points))  # Not for secrecy: any order will do, the same one every time.
    chosen = points[:threshold]
    found: list[RecoveredSecrets] = []
    for _ in range(TRIES):
        secret = _combined(shares, chosen, threshold)
        if secret is not None and check(secret):
            found.append(RecoveredSecrets(secret, _false(shares, chosen, threshold, secret)))
            # So few false shares cannot be the true ones of another polynomial; with more, false ones may have
            # cancelled each other, and another set tells better who lied.
            if 2 * len(found[-1].false) <= len(points) - threshold or len(found) == _OPINIONS:
                break
        chosen = order.sample(points, threshold)
    return min(found, key=lambda opened: len(opened.false), default=None)


def _false(shares: Mapping[int, bytes], clean: Sequence[int], threshold: int, secret: bytes) -> tuple[int, ...]:
    rest = [point for point in sorted(shares) if point not in clean]
    kept = list(clean)[: threshold - 1]
    return tuple(point for point in rest if _combined(shares, [*kept, point], threshold) != secret)


def _combined(shares: Mapping[int, bytes], points: Sequence[int], threshold: int) -> bytes | None:
    try:
        return combine({point: shares[point] for point in points}, threshold)
    except ProtocolError:
        return None
