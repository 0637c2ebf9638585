"""The server's side of one secure sum: collects six kinds of message, and opens the sum of the survivors or nothing.

Bad messages are turned down one by one, each with a named reason, and cost nobody else anything.  The steps are those
of Bell et al. (CCS 2020), algorithm 2; docs/secure-aggregation.md lists every deviation.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg import bits, blame, codec, keys
from fedrec.secagg.assignment import assign
from fedrec.secagg.context import Agreed, cohort_context, survivors_digest, view_context
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.masks import word_type
from fedrec.secagg.messages import Advertise, Complaints, Confirm, Masked, Shares, Signed, Unmask
from fedrec.secagg.opening import open_masks
from fedrec.secagg.outcome import OpenedSum, Phase, RefusedMessage
from fedrec.secagg.received import read_message
from fedrec.secagg.roster import Roster
from fedrec.secagg.round_records import RoundRecords
from fedrec.secagg.server_messages import Certificate, Cohort, Inbox, Peer, Survivors, View
from fedrec.secagg.thresholds import Thresholds
from fedrec.secagg.view import who_goes_on


class ServerRound:
    """One secure sum.

    Args:
        agreed: what the devices are asked.
        roster: the one that ``agreed`` names.
        thresholds: the devices', from which neighbours, threshold and committee follow.
        workers: threads for masks.

    Use: `receive` every message as it comes; `close_advertise`, `close_share`, `close_check`, `close_masked` and
    `close_confirm` give what to send to whom (by public id); `close_unmask` gives the sum.  All six raise
    RoundAbortedError, with a reason, if there can be no sum.
    """

    def __init__(self, agreed: Agreed, roster: Roster, thresholds: Thresholds, *, workers: int = 1) -> None:
        if roster.digest != agreed.roster:
            raise RefusedError(Reason.OTHER_CONTEXT, "the sum is of another roster")
        self.agreed, self.roster, self.thresholds, self.workers = agreed, roster, thresholds, workers
        self.phase = Phase.ADVERTISE
        self.refused: list[RefusedMessage] = []
        self._asked = None if agreed.eligible is None else frozenset(agreed.eligible)
        self._adverts: dict[int, Advertise] = {}
        self._records = RoundRecords()
        self._shares: dict[int, Shares] = {}
        self._complaints: dict[int, frozenset[int]] = {}
        self._signatures: dict[int, bytes] = {}
        self._total: NDArray[Any] = np.zeros(0, dtype=word_type(agreed.ring))

    @property
    def size(self) -> int:
        """Eligible devices, once `close_advertise` has fixed the cohort."""
        return len(self._records.ids)

    @property
    def left_out(self) -> tuple[bytes, ...]:
        """Devices that have shared and do not go on, because of boxes that do not open; known after `close_check`."""
        records = self._records
        return tuple(records.ids[place] for place in sorted(records.sharers - records.members))

    @property
    def caught(self) -> dict[bytes, str]:
        """Devices that are proved to have departed from the protocol, and how; also where there was no sum."""
        return blame.signed_nonsense(self.refused) | blame.lies(self._records.liars, self._records.ids)

    @property
    def received(self) -> int:
        """Good messages of the exchange that is open: by it a shell knows when it need not wait any longer."""
        records = self._records
        exchanges = self._adverts, self._shares, self._complaints, records.receipts, self._signatures, records.answers
        return 0 if self.phase is Phase.CLOSED else len(exchanges[self.phase - 1])

    @property
    def expected(self) -> int:
        """Most messages that can still count in the open exchange."""
        records, asked = self._records, self._asked
        everybody = range(len(self.roster.devices)) if asked is None else asked
        signers = records.survivors & records.committee if self.phase is Phase.CONFIRM else ()
        exchanges = everybody, records.cohort, records.sharers, records.members, signers, records.survivors, ()
        return len(exchanges[self.phase - 1])

    def receive(self, data: bytes) -> RefusedMessage | None:
        """Take a message in; what is wrong with it, or `None`. Never raises, whatever the bytes are."""
        message: Signed | None = None
        try:
            message = read_message(data, self.phase, self._records)
            message.check(self.roster.device(message.device))
        except RefusedError as error:
            return self._refuse(error.reason, None)
        try:
            self._accept(message)
        except RefusedError as error:
            return self._refuse(error.reason, self.roster.device(message.device))
        return None

    def close_advertise(self) -> dict[bytes, bytes]:
        """End of exchange 1: fixes the cohort; for each device of it its `Cohort`."""
        self._close(Phase.ADVERTISE)
        try:
            self.thresholds.check_cohort(len(self._adverts), len(self._asked or self._adverts))
            assignment = assign(self.agreed, self._adverts, self.thresholds)
        except RefusedError as error:
            raise self._abort(error.reason, error.plain) from None
        members, parameters = assignment.places(self._adverts), assignment.parameters
        assert members is not None
        records = self._records = RoundRecords.of(assignment, self.roster, members)
        agreed, places = self.agreed.digest, len(self.roster.devices)
        records.context = cohort_context(agreed, members, assignment.size, parameters.degree, parameters.threshold)
        adverts = {place: self._adverts[assignment.eligible[place]] for place in members}
        records.mask_keys = {place: advert.mask_key for place, advert in adverts.items()}
        bitmap = codec.write_bitmap(set(self._adverts), places)
        peers = {place: Peer(advert.mask_key, advert.box_key, advert.signature) for place, advert in adverts.items()}
        front = agreed, places, frozenset(self._adverts), parameters.degree, parameters.threshold
        return {
            records.ids[place]: Cohort(*front, tuple(peers[near] for near in records.there(place, members))).to_bytes(
                bitmap
            )
            for place in sorted(members)
        }

    def close_share(self) -> dict[bytes, bytes]:
        """End of exchange 2: fixes who has shared; for each of them its `Inbox`."""
        self._close(Phase.SHARE)
        records = self._records
        sharers = records.sharers = frozenset(self._shares)
        self._enough(len(sharers), "devices that shared their secrets")
        dealt = {place: shares.boxes for place, shares in self._shares.items()}
        records.keep_commitments(dealt)
        boxes = records.passed_on(dealt, records.cohort, sharers)
        bitmap = codec.write_bitmap(sharers, self.size)
        records.commitments = {place: shares.self_commitment for place, shares in self._shares.items()}
        self._shares = {}
        return {
            records.ids[place]: Inbox(records.context, self.size, sharers, found).to_bytes(bitmap)
            for place, found in boxes.items()
        }

    def close_check(self) -> dict[bytes, bytes]:
        """End of exchange 3: fixes who may send a vector (`view.who_goes_on`); for each of them its `View`."""
        self._close(Phase.CHECK)
        records = self._records
        records.complaints = {
            place: frozenset(records.neighbours[place][slot] for slot in slots)
            for place, slots in self._complaints.items()
        }
        records.members = who_goes_on(
            records.neighbours, records.complaints, records.parameters, self.thresholds.least_sum(self.size)
        )
        self._enough(len(records.members), "devices whose boxes open")
        records.view = view_context(records.context, records.members, self.size)
        self._total = np.zeros(self.agreed.length, dtype=word_type(self.agreed.ring))
        message = View(records.context, self.size, records.members).to_bytes()
        return {records.ids[place]: message for place in sorted(records.members)}

    def close_masked(self) -> dict[bytes, bytes]:
        """End of exchange 4: fixes whose vectors are in the sum; for the committee among them the `Survivors`."""
        self._close(Phase.MASK)
        records = self._records
        survivors = records.survivors = frozenset(records.receipts)
        self._enough(len(survivors), "devices that sent a vector")
        try:
            records.assignment.check_halves(survivors)
        except RefusedError as error:
            raise self._abort(error.reason, error.plain, records.members - survivors) from None
        lost = [place for place in records.members if records.holders(place) < records.parameters.threshold]
        if lost:
            raise self._abort(Reason.SECRET_LOST, "too few neighbours are left to open a device's secrets", lost)
        committee = survivors & records.committee
        self._enough_signers(len(committee))
        message = Survivors(records.view, self.size, survivors).to_bytes()
        return {records.ids[place]: message for place in sorted(committee)}

    def close_confirm(self) -> dict[bytes, bytes]:
        """End of exchange 5: for each survivor the `Certificate` of its list."""
        self._close(Phase.CONFIRM)
        records, survivors = self._records, self._records.survivors
        self._enough_signers(len(self._signatures))
        signers = sorted(self._signatures)[: records.assignment.quorum]
        signatures = tuple(self._signatures[place] for place in signers)
        signed = records.view, self.size, survivors, frozenset(signers), signatures
        front = Certificate(*signed, ()).front()
        receipts = records.passed_on(records.receipts, records.members, survivors)
        return {records.ids[place]: Certificate(*signed, found).to_bytes(front) for place, found in receipts.items()}

    def close_unmask(self) -> OpenedSum:
        """End of exchange 6: the exact sum of the survivors' vectors, modulo 2^bits."""
        self._close(Phase.UNMASK)
        try:
            open_masks(self._records, self._total, self.agreed.ring, self.workers)
        except ProtocolError:
            self._total = np.zeros(0, dtype=self._total.dtype)
            raise
        survivors = tuple(self._records.ids[place] for place in sorted(self._records.survivors))
        total = self._total.astype(np.uint64)
        return OpenedSum(total, survivors)

    def _accept(self, message: Signed) -> None:
        if isinstance(message, Advertise):
            self._accept_advert(message)
            return
        place = self._records.assignment.place(message.device)
        if isinstance(message, Shares):
            self._accept_shares(self._listed(place, self._records.cohort, self._shares), message)
        elif isinstance(message, Complaints):
            self._accept_complaints(self._listed(place, self._records.sharers, self._complaints), message)
        elif isinstance(message, Masked):
            self._accept_masked(self._listed(place, self._records.members, self._records.receipts), message)
        elif isinstance(message, Confirm):
            committee = self._records.survivors & self._records.committee
            self._accept_signature(self._listed(place, committee, self._signatures), message)
        elif isinstance(message, Unmask):
            place = self._listed(place, self._records.survivors, self._records.answers)
            self._same(message.view, self._records.view)
            self._records.check_answer(place, message)
            self._records.answers[place] = message

    def _accept_advert(self, message: Advertise) -> None:
        self._same(message.agreed, self.agreed.digest)
        self._listed(message.device, self._asked, self._adverts)
        if not (keys.usable(message.mask_key) and keys.usable(message.box_key)):
            raise codec.malformed("keys that nothing can be agreed with", None)
        self._adverts[message.device] = message

    def _accept_shares(self, place: int, message: Shares) -> None:
        self._same(message.context, self._records.context)
        if len(message.boxes) != len(self._records.slots(place, self._records.cohort)):
            raise codec.malformed("boxes do not fit the neighbours", len(message.boxes))
        self._shares[place] = message

    def _accept_complaints(self, place: int, message: Complaints) -> None:
        self._same(message.context, self._records.context)
        if not message.slots <= set(self._records.slots(place, self._records.sharers)):
            raise codec.malformed("complaints about boxes that were never passed on", len(message.slots))
        self._complaints[place] = message.slots

    def _accept_masked(self, place: int, message: Masked) -> None:
        records = self._records
        self._same(message.view, records.view)
        if len(message.receipts) != len(records.slots(place, records.members)):
            raise codec.malformed("receipts do not fit the neighbours", len(message.receipts))
        try:
            part = bits.unpack(message.packed, self.agreed.length, self.agreed.bits)
        except SumError as error:
            raise codec.malformed(error.what, error.value) from None
        np.add(self._total, part, out=self._total)
        records.receipts[place] = message.receipts

    def _accept_signature(self, place: int, message: Confirm) -> None:
        self._same(message.view, self._records.view)
        self._same(message.survivors, survivors_digest(self._records.survivors, self.size))
        self._signatures[place] = message.signature

    def _close(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise RefusedError(Reason.OUT_OF_TURN, f"not now: the exchange that is open is {self.phase.name.lower()}")
        self.phase = Phase(phase + 1)

    def _refuse(self, reason: Reason, device: bytes | None) -> RefusedMessage:
        self.refused.append(RefusedMessage(self.phase, reason, device))
        return self.refused[-1]

    def _abort(self, reason: Reason, what: str, places: Iterable[int] = (), value: object = None) -> RoundAbortedError:
        self.phase = Phase.CLOSED
        return RoundAbortedError(reason, what, devices=[self._records.ids[at] for at in sorted(places)], value=value)

    def _enough(self, count: int, what: str) -> None:
        least = self.thresholds.least_sum(self.size)
        if count < least:
            what = f"only {count} {what}, at least {least} of {self.size} are needed"
            raise self._abort(Reason.FEW_SURVIVORS, what, value=count)

    def _enough_signers(self, count: int) -> None:
        quorum = self._records.assignment.quorum
        if count < quorum:
            what = f"only {count} of the committee are there, {quorum} must sign the list of survivors"
            raise self._abort(Reason.NO_QUORUM, what, value=count)

    @staticmethod
    def _same(found: bytes, wanted: bytes) -> None:
        if found != wanted:
            raise RefusedError(Reason.OTHER_CONTEXT, "a message of another context")

    @staticmethod
    def _listed(place: int | None, places: frozenset[int] | None, heard: Container[int]) -> int:
        """The place of a device that belongs to this exchange and has said nothing in it yet."""
        if place is None or (places is not None and place not in places):
            raise RefusedError(Reason.NOT_MEANT, "a message of a device that is not in this exchange")
        if place in heard:
            raise RefusedError(Reason.DUPLICATE, "a second message of one device")
        return place
