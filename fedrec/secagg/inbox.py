"""The boxes that a device receives: which open, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping

from fedrec.errors import ProtocolError
from fedrec.secagg.device_state import HeldShares
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.neighbourhood import Neighbourhood, check_list
from fedrec.secagg.server_messages import Inbox
from fedrec.secagg.share_box import read_box
from fedrec.secagg.thresholds import Thresholds


def open_inbox(
    data: bytes, own: bytes, near: Neighbourhood, box_keys: Mapping[int, bytes], thresholds: Thresholds
) -> tuple[frozenset[int], dict[int, HeldShares], frozenset[int]]:
    """Who has shared; the shares in the boxes that hold what they say, by slot; the slots of those that do not.

    ``own``: this device's id.  ``box_keys``: by slot.

    Raises:
        RefusedError: malformed, of another context, or a list without this device or below a threshold.
    """
    read = Inbox.from_bytes(data, near.size)
    if read.context != near.context:
        raise RefusedError(Reason.OTHER_CONTEXT, "the inbox is of another cohort than this device's")
    check_list(read.sharers, near.members, near.place, "the devices that shared")
    thresholds.check_survivors(len(read.sharers), near.size)
    slots = near.slots(read.sharers)
    if len(read.boxes) != len(slots):
        raise RefusedError(Reason.MALFORMED, "boxes do not fit the devices that shared", value=len(read.boxes))
    held = {}
    for slot, box in zip(slots, read.boxes, strict=True):
        try:
            held[slot] = HeldShares(*read_box(box_keys[slot], near.ids[slot], own, near.context, box))
        except ProtocolError:
            continue
    return read.sharers, held, frozenset(slots) - frozenset(held)
