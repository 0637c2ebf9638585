"""A device's secrets of one sum, and the bytes in which they wait between two exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NoReturn

from fedrec.secagg import codec
from fedrec.secagg.codec import Reader
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.keys import SEED_BYTES
from fedrec.secagg.shamir import SHARE_BYTES

_KIND = 34


class DeviceStage(IntEnum):
    """What the device did last."""

    FRESH = 0
    ADVERTISED = 1
    SHARED = 2
    MASKED = 3
    UNMASKED = 4


class _Hidden:
    """Shows nothing of itself, and cannot be pickled."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret stays where it is")


@dataclass(frozen=True, repr=False)
class DeviceSecrets(_Hidden):
    """Seeds of 31 bytes: of the mask key pair, the box key pair, the device's own mask, and its gate."""

    mask: bytes
    box: bytes
    own: bytes
    gate: bytes


@dataclass(frozen=True, repr=False)
class HeldShares(_Hidden):
    """A neighbour's shares (32 bytes each) of its mask key's seed, its own mask's seed and its gate's seed."""

    mask: bytes
    own: bytes
    gate: bytes


State = tuple[int, bytes, DeviceSecrets | None, bytes, frozenset[int], dict[int, HeldShares]]


def pack_state(
    stage: int,
    agreed: bytes,
    secrets: DeviceSecrets | None,
    cohort: bytes,
    sharers: tuple[frozenset[int], int],
    held: Mapping[int, HeldShares],
) -> bytes:
    """``sharers``: places, and the cohort's size; the rest as in `DeviceRound`."""
    parts = [codec.header(_KIND), bytes((stage,)), agreed, bytes((secrets is not None,))]
    if secrets is not None:
        parts += [secrets.mask, secrets.box, secrets.own, secrets.gate]
    parts += [codec.prefixed(cohort, 4), codec.write_bitmap(*sharers), codec.number(len(held), 4)]
    for slot, shares in sorted(held.items()):
        parts += [codec.number(slot, 4), shares.mask, shares.own, shares.gate]
    return b"".join(parts)


def unpack_state(data: bytes) -> State:
    """Stage, digest of what was agreed, secrets, cohort message, sharers, shares by slot.

    Raises RefusedError(MALFORMED) for anything that `pack_state` would not have written.
    """
    reader = Reader(data, "a stored round")
    reader.header(_KIND)
    stage, agreed, has_secrets = reader.number(1), reader.take(DIGEST_BYTES), reader.number(1)
    # Secrets live from the first message to the last, neither before nor after.
    if stage > max(DeviceStage) or has_secrets != (0 < stage < max(DeviceStage)):
        raise codec.malformed("a stored round is in an impossible state", (stage, has_secrets))
    secrets = DeviceSecrets(*reader.items(SEED_BYTES, 4)) if has_secrets else None
    cohort, sharers = reader.prefixed(4), reader.bitmap()
    held = {}
    for _ in range(reader.number(4)):
        slot = reader.number(4)
        held[slot] = HeldShares(*reader.items(SHARE_BYTES, 3))
    reader.end()
    return stage, agreed, secrets, cohort, sharers, held
