"""The server's side of one secure sum: collects four kinds of message, and opens the sum of the survivors or nothing.

Bad messages are turned down one by one, each with a named reason, and cost nobody else anything.  The steps are those
of Bell et al. (CCS 2020), algorithm 2; docs/secure-aggregation.md lists every deviation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg import bits, codec, keys, merkle
from fedrec.secagg.context import Agreed, cohort_context, view_context
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.masks import word_type
from fedrec.secagg.messages import Advertise, Cohort, Inbox, Masked, Peer, Shares, Signed, Survivors, Unmask
from fedrec.secagg.opening import RoundRecords, open_masks
from fedrec.secagg.outcome import OpenedSum, Phase, RefusedMessage
from fedrec.secagg.parameters import GraphParameters, choose
from fedrec.secagg.roster import Roster
from fedrec.secagg.thresholds import Thresholds

_KINDS: dict[Phase, type[Signed]] = {
    Phase.ADVERTISE: Advertise,
    Phase.SHARE: Shares,
    Phase.MASK: Masked,
    Phase.UNMASK: Unmask,
}


class ServerRound:
    """One secure sum.

    Args:
        agreed: what the devices are asked.
        roster: the one that ``agreed`` names.
        thresholds: the devices' (their ``assumptions`` give neighbours and threshold, see `parameters.choose`).
        workers: threads for masks.
        parameters: replaces `parameters.choose`; takes the size of the cohort.

    Use: `receive` every message as it comes; `close_advertise`, `close_share` and `close_masked` give what to send to
    whom (by public id); `close_unmask` gives the sum.  The four `close_...` raise RoundAbortedError, with a reason, if
    there can be no sum.
    """

    def __init__(
        self,
        agreed: Agreed,
        roster: Roster,
        thresholds: Thresholds,
        *,
        workers: int = 1,
        parameters: Callable[[int], GraphParameters] | None = None,
    ) -> None:
        if roster.digest != agreed.roster:
            raise RefusedError(Reason.OTHER_CONTEXT, "the sum is of another roster")
        self.agreed, self.roster, self.thresholds, self.workers = agreed, roster, thresholds, workers
        self._parameters = parameters or (lambda size: choose(size, thresholds.assumptions))
        self.phase = Phase.ADVERTISE
        self.refused: list[RefusedMessage] = []
        self._adverts: dict[int, Advertise] = {}
        self._members: list[int] = []
        self._places: dict[int, int] = {}
        self._records = RoundRecords()
        self._shares: dict[int, Shares] = {}
        self._total: NDArray[Any] = np.zeros(0, dtype=word_type(agreed.ring))

    @property
    def size(self) -> int:
        """Devices in the cohort, once `close_advertise` has fixed it."""
        return len(self._members)

    @property
    def received(self) -> int:
        """Good messages of the exchange that is open: by it a shell knows when it need not wait any longer."""
        records = self._records
        counts = (len(self._adverts), len(self._shares), len(records.receipts), len(records.answers), 0)
        return counts[self.phase - 1]

    @property
    def expected(self) -> int:
        """Most messages that can still count in the open exchange."""
        records = self._records
        counts = (len(self.roster.devices), self.size, len(records.sharers), len(records.survivors), 0)
        return counts[self.phase - 1]

    def receive(self, data: bytes) -> RefusedMessage | None:
        """Take a message in; what is wrong with it, or `None`. Never raises, whatever the bytes are."""
        message: Signed | None = None
        try:
            message = self._read(data)
            message.check(self.roster.device(message.device))
        except RefusedError as error:
            return self._refuse(error.reason, None)
        try:
            self._accept(message)
        except RefusedError as error:
            return self._refuse(error.reason, self.roster.device(message.device))
        return None

    def close_advertise(self) -> dict[bytes, bytes]:
        """End of exchange 1: fixes the cohort, its parameters and its graph; for each device its `Cohort`."""
        self._close(Phase.ADVERTISE)
        size = len(self._adverts)
        self._enough(size, self.thresholds.cohort, Reason.SMALL_COHORT, "devices that advertised keys")
        parameters = self._parameters(size)
        self._members = sorted(self._adverts)
        self._places = {device: place for place, device in enumerate(self._members)}
        members = frozenset(self._members)
        tree = merkle.levels([merkle.leaf(self._adverts[device].body()) for device in self._members])
        root, places = tree[-1][0], len(self.roster.devices)
        bitmap = codec.write_bitmap(members, places)
        records = self._records
        records.context = cohort_context(
            self.agreed.digest, members, places, root, parameters.degree, parameters.threshold
        )
        records.threshold = parameters.threshold
        records.ids = [self.roster.device(device) for device in self._members]
        records.mask_keys = [self._adverts[device].mask_key for device in self._members]
        records.graph = NeighbourGraph(records.context, size, parameters.degree)
        records.neighbours = [records.graph.neighbours(place) for place in range(size)]
        peers = [
            Peer(advert.mask_key, advert.box_key, advert.signature, merkle.path(tree, place))
            for place, advert in enumerate(self._adverts[device] for device in self._members)
        ]
        out = {}
        for place, near in enumerate(records.neighbours):
            front = self.agreed.digest, places, members, root, parameters.threshold, peers[place].path
            out[records.ids[place]] = Cohort(*front, tuple(peers[neighbour] for neighbour in near)).to_bytes(bitmap)
        return out

    def close_share(self) -> dict[bytes, bytes]:
        """End of exchange 2: fixes who may send a vector; for each of them its `Inbox`."""
        self._close(Phase.SHARE)
        records, graph = self._records, self._graph()
        sharers = set(self._shares)
        # Whoever has too few neighbours left would refuse to go on, and would be missed by its own neighbours.
        while alone := {place for place in sharers if records.near(place, sharers) < records.threshold}:
            sharers -= alone
        self._enough(len(sharers), self.thresholds.survivors, Reason.FEW_SURVIVORS, "devices that shared their secrets")
        records.sharers = frozenset(sharers)
        records.view = view_context(records.context, records.sharers, self.size)
        self._total = np.zeros(self.agreed.length, dtype=word_type(self.agreed.ring))
        out, bitmap = {}, codec.write_bitmap(records.sharers, self.size)
        for place in sorted(sharers):
            boxes = tuple(
                self._shares[neighbour].boxes[graph.back(slot)]
                for slot, neighbour in enumerate(records.neighbours[place])
                if neighbour in sharers
            )
            out[records.ids[place]] = Inbox(records.context, self.size, records.sharers, boxes).to_bytes(bitmap)
        records.commitments = {
            place: (shares.self_commitment, shares.gate_commitment) for place, shares in self._shares.items()
        }
        self._shares = {}
        return out

    def close_masked(self) -> dict[bytes, bytes]:
        """End of exchange 3: fixes whose vectors are in the sum; for each of them the list of `Survivors`."""
        self._close(Phase.MASK)
        records, graph = self._records, self._graph()
        records.survivors = frozenset(records.receipts)
        survivors = records.survivors
        self._enough(len(survivors), self.thresholds.survivors, Reason.FEW_SURVIVORS, "devices that sent a vector")
        lost = [place for place in records.sharers if records.near(place, survivors) < records.threshold]
        if lost:
            raise self._abort(Reason.SECRET_LOST, "too few neighbours are left to open a device's secrets", lost)
        given = {
            place: dict(zip(records.slots(place, records.sharers), receipts, strict=True))
            for place, receipts in records.receipts.items()
        }
        out, bitmap = {}, codec.write_bitmap(survivors, self.size)
        for place in sorted(survivors):
            receipts = [
                given[neighbour][graph.back(slot)]
                for slot, neighbour in enumerate(records.neighbours[place])
                if neighbour in survivors
            ]
            message = Survivors(records.view, self.size, survivors, tuple(receipts))
            out[records.ids[place]] = message.to_bytes(bitmap)
        return out

    def close_unmask(self) -> OpenedSum:
        """End of exchange 4: the exact sum of the survivors' vectors, modulo 2^bits."""
        self._close(Phase.UNMASK)
        try:
            false_shares = open_masks(self._records, self._total, self.agreed.ring, self.workers)
        except ProtocolError:
            self._total = np.zeros(0, dtype=self._total.dtype)
            raise
        survivors = tuple(self._records.ids[place] for place in sorted(self._records.survivors))
        total = self._total.astype(np.uint64)
        return OpenedSum(total, survivors, tuple(self._records.ids[place] for place in sorted(false_shares.holders)))

    def _read(self, data: bytes) -> Signed:
        if self.phase is Phase.CLOSED or codec.kind_of(data) != _KINDS[self.phase].kind:
            known = codec.kind_of(data) in {kind.kind for kind in _KINDS.values()}
            raise RefusedError(Reason.OUT_OF_TURN if known else Reason.MALFORMED, "not a message of this exchange")
        if self.phase is Phase.ADVERTISE:
            return Advertise.from_bytes(data)
        if self.phase is Phase.SHARE:
            return Shares.from_bytes(data)
        if self.phase is Phase.MASK:
            return Masked.from_bytes(data)
        return Unmask.from_bytes(data, self._graph().degree)

    def _accept(self, message: Signed) -> None:
        if isinstance(message, Advertise):
            self._same(message.agreed, self.agreed.digest)
            self._first(message.device in self._adverts)
            if not (keys.usable(message.mask_key) and keys.usable(message.box_key)):
                raise codec.malformed("keys that nothing can be agreed with", None)
            self._adverts[message.device] = message
            return
        place = self._places.get(message.device, -1)
        if isinstance(message, Shares):
            self._accept_shares(place, message)
        elif isinstance(message, Masked):
            self._accept_masked(place, message)
        elif isinstance(message, Unmask):
            self._accept_answer(place, message)

    def _accept_shares(self, place: int, message: Shares) -> None:
        self._same(message.context, self._records.context)
        self._listed(place, range(self.size))
        self._first(place in self._shares)
        if len(message.boxes) != self._graph().degree:
            raise codec.malformed("boxes do not fit the neighbours", len(message.boxes))
        self._shares[place] = message

    def _accept_masked(self, place: int, message: Masked) -> None:
        records = self._records
        self._same(message.view, records.view)
        self._listed(place, records.sharers)
        self._first(place in records.receipts)
        if len(message.receipts) != records.near(place, records.sharers):
            raise codec.malformed("receipts do not fit the neighbours", len(message.receipts))
        try:
            part = bits.unpack(message.packed, self.agreed.length, self.agreed.bits)
        except SumError as error:
            raise codec.malformed(error.what, error.value) from None
        np.add(self._total, part, out=self._total)
        records.receipts[place] = message.receipts

    def _accept_answer(self, place: int, message: Unmask) -> None:
        records = self._records
        self._same(message.view, records.view)
        self._listed(place, records.survivors)
        self._first(place in records.answers)
        records.check_answer(place, message)
        records.answers[place] = message

    def _close(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise RefusedError(Reason.OUT_OF_TURN, f"not now: the exchange that is open is {self.phase.name.lower()}")
        self.phase = Phase(phase + 1)

    def _refuse(self, reason: Reason, device: bytes | None) -> RefusedMessage:
        self.refused.append(RefusedMessage(self.phase, reason, device))
        return self.refused[-1]

    def _abort(self, reason: Reason, what: str, places: list[int]) -> RoundAbortedError:
        self.phase = Phase.CLOSED
        return RoundAbortedError(reason, what, devices=[self._records.ids[place] for place in sorted(places)])

    def _enough(self, count: int, least: int, reason: Reason, what: str) -> None:
        if count < least:
            self.phase = Phase.CLOSED
            raise RoundAbortedError(reason, f"only {count} {what}, at least {least} are needed", value=count)

    def _graph(self) -> NeighbourGraph:
        assert self._records.graph is not None
        return self._records.graph

    @staticmethod
    def _same(found: bytes, wanted: bytes) -> None:
        if found != wanted:
            raise RefusedError(Reason.OTHER_CONTEXT, "a message of another context")

    @staticmethod
    def _first(known: bool) -> None:
        if known:
            raise RefusedError(Reason.DUPLICATE, "a second message of one device")

    @staticmethod
    def _listed(place: int, places: range | frozenset[int]) -> None:
        if place not in places:
            raise RefusedError(Reason.NOT_MEANT, "a message of a device that is not in this exchange")
