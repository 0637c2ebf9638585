"""What a sum by secure aggregation sends: messages and bytes of its six exchanges, from the messages themselves.

Of a sum in which nobody drops out; who does sends less, and costs its neighbours a share each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fedrec.secagg.codec import bitmap_bytes
from fedrec.secagg.context import DIGEST_BYTES
from fedrec.secagg.identity import SIGNATURE_BYTES
from fedrec.secagg.messages import (
    KEY_BYTES,
    RECEIPT_BYTES,
    Advertise,
    Complaints,
    Confirm,
    Masked,
    Shares,
    Signed,
    Unmask,
)
from fedrec.secagg.server_messages import Certificate, Cohort, Inbox, Peer, Survivors, View
from fedrec.secagg.shamir import SHARE_BYTES
from fedrec.secagg.share_box import BOX_BYTES
from fedrec.secagg.thresholds import Thresholds

_DIGEST, _SIGNATURE, _KEY = bytes(DIGEST_BYTES), bytes(SIGNATURE_BYTES), bytes(KEY_BYTES)
_NOBODY: Final[frozenset[int]] = frozenset()


@dataclass(frozen=True)
class ExchangeTraffic:
    """One exchange.  ``asked``: devices that get a message and answer it.  ``down``, ``up``: bytes of one device; of
    the first exchange ``down`` is 0, since what goes down is the request, which is not the protocol's."""

    name: str
    asked: int
    down: int
    up: int


@dataclass(frozen=True)
class SumTraffic:
    """All exchanges of a sum over ``devices``, with the neighbours, threshold and committee that it has."""

    devices: int
    degree: int
    threshold: int
    committee: int
    exchanges: tuple[ExchangeTraffic, ...]

    @property
    def messages(self) -> int:
        """Down and up together."""
        return 2 * sum(one.asked for one in self.exchanges)

    @property
    def server_up(self) -> int:
        """Bytes that all devices send."""
        return sum(one.asked * one.up for one in self.exchanges)

    @property
    def server_down(self) -> int:
        """Bytes of the protocol that all devices are sent."""
        return sum(one.asked * one.down for one in self.exchanges)


def sum_traffic(devices: int, vector_bytes: int, thresholds: Thresholds, roster: int = 0) -> SumTraffic:
    """What a sum sends.

    Args:
        devices: that are asked.
        vector_bytes: of one masked vector, packed.
        thresholds: what devices insist on, from which neighbours, threshold and committee follow.
        roster: devices that it lists; 0 = those that are asked.

    Raises:
        RefusedError: no neighbours, threshold and committee are safe for so many devices.
    """
    graph, committee = thresholds.parameters(devices), thresholds.committee(devices)
    degree, places = graph.degree, roster or devices
    shares = Shares(0, _SIGNATURE, _DIGEST, _DIGEST, (bytes(BOX_BYTES),) * degree)
    masked = Masked(0, _SIGNATURE, _DIGEST, (bytes(RECEIPT_BYTES),) * degree, b"")
    unmask = Unmask(0, _SIGNATURE, _DIGEST, degree, _NOBODY, (bytes(SHARE_BYTES),) * degree)
    cohort = Cohort(_DIGEST, 0, _NOBODY, degree, graph.threshold, (Peer(_KEY, _KEY, _SIGNATURE),) * degree)
    inbox = Inbox(_DIGEST, 0, _NOBODY, (bytes(BOX_BYTES),) * degree)
    # The server passes on as many signatures as devices insist on.
    signatures, receipts = (_SIGNATURE,) * committee.quorum, (bytes(RECEIPT_BYTES),) * degree
    certificate = Certificate(_DIGEST, 0, _NOBODY, _NOBODY, signatures, receipts)
    # Lists of devices are written over none, and their bitmaps, which grow with the cohort, added.
    listed = bitmap_bytes(devices) - bitmap_bytes(0)
    view = len(View(_DIGEST, 0, _NOBODY).to_bytes()) + listed
    survivors = len(Survivors(_DIGEST, 0, _NOBODY).to_bytes()) + listed
    exchanges = (
        ExchangeTraffic("advertise", devices, 0, _up(Advertise(0, _SIGNATURE, _DIGEST, _KEY, _KEY))),
        ExchangeTraffic("share", devices, len(cohort.to_bytes()) + bitmap_bytes(places) - bitmap_bytes(0), _up(shares)),
        ExchangeTraffic(
            "check", devices, len(inbox.to_bytes()) + listed, _up(Complaints(0, _SIGNATURE, _DIGEST, degree, _NOBODY))
        ),
        ExchangeTraffic("mask", devices, view, _up(masked) + vector_bytes),
        ExchangeTraffic("confirm", committee.members, survivors, _up(Confirm(0, _SIGNATURE, _DIGEST, _DIGEST))),
        ExchangeTraffic("unmask", devices, len(certificate.to_bytes()) + 2 * listed, _up(unmask)),
    )
    return SumTraffic(devices, degree, graph.threshold, committee.members, exchanges)


def _up(message: Signed) -> int:
    return len(message.to_bytes())
