"""A device's secrets of one sum, and the bytes in which they wait between two exchanges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    CHECKED = 3
    MASKED = 4
    CONFIRMED = 5
    UNMASKED = 6


class _Hidden:
    """Shows nothing of itself, and cannot be pickled."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(hidden)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret stays where it is")


@dataclass(frozen=True, repr=False)
class DeviceSecrets(_Hidden):
    """Seeds of 31 bytes: of the mask key pair, the box key pair, and the device's own mask."""

    mask: bytes
    box: bytes
    own: bytes


@dataclass(frozen=True, repr=False)
class HeldShares(_Hidden):
    """A neighbour's shares (32 bytes each) of its mask key's seed and its own mask's seed."""

    mask: bytes
    own: bytes


@dataclass(frozen=True)
class DeviceState:
    """All that a device needs to go on with a sum.

    ``stage``: what it did last.  ``agreed``: digest of what was agreed.  ``cohort``: the message.  ``there``: who has
    shared, and from the masked vector on who is in the view; of ``size`` eligible devices.  ``held``: neighbours'
    shares, by slot.
    """

    stage: DeviceStage
    agreed: bytes
    secrets: DeviceSecrets | None = None
    cohort: bytes = b""
    there: frozenset[int] = frozenset()
    size: int = 0
    held: Mapping[int, HeldShares] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"DeviceState({self.stage.name})"


def pack_state(state: DeviceState) -> bytes:
    """As bytes, secrets included: for the device's own store."""
    secrets = state.secrets
    parts = [codec.header(_KIND), bytes((state.stage,)), state.agreed, bytes((secrets is not None,))]
    if secrets is not None:
        parts += [secrets.mask, secrets.box, secrets.own]
    parts += [codec.prefixed(state.cohort, 4), codec.write_bitmap(state.there, state.size)]
    parts += [codec.number(len(state.held), 4)]
    for slot, shares in sorted(state.held.items()):
        parts += [codec.number(slot, 4), shares.mask, shares.own]
    return b"".join(parts)


def unpack_state(data: bytes) -> DeviceState:
    """The inverse. Raises RefusedError(MALFORMED) for anything that `pack_state` would not have written."""
    reader = Reader(data, "a stored round")
    reader.header(_KIND)
    stage, agreed, has_secrets = reader.number(1), reader.take(DIGEST_BYTES), reader.number(1)
    # Secrets live from the first message to the last, neither before nor after.
    if stage > max(DeviceStage) or has_secrets != (0 < stage < max(DeviceStage)):
        raise codec.malformed("a stored round is in an impossible state", (stage, has_secrets))
    secrets = DeviceSecrets(*reader.items(SEED_BYTES, 3)) if has_secrets else None
    cohort, size = reader.prefixed(4), reader.number(4)
    there = codec.read_bitmap(reader.take((size + 7) // 8), size, "a stored round")
    held = {}
    for _ in range(reader.number(4)):
        slot = reader.number(4)
        held[slot] = HeldShares(*reader.items(SHARE_BYTES, 2))
    reader.end()
    return DeviceState(DeviceStage(stage), agreed, secrets, cohort, there, size, held)
