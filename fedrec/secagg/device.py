"""A device's side of one secure sum: six messages out, five in, no clock, no network, no storage of its own.

The steps are those of Bell et al. (CCS 2020), algorithm 2, with signatures, neighbours that each device works out for
itself, complaints about boxes that do not open, and one list of survivors that a committee signs; see
docs/secure-aggregation.md for each deviation.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.secagg import keys
from fedrec.secagg.agreement import PrivateKey
from fedrec.secagg.context import Agreed, survivors_digest, view_context
from fedrec.secagg.device_state import DeviceSecrets, DeviceStage, DeviceState, HeldShares
from fedrec.secagg.errors import Reason, RefusedError, check_context
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity
from fedrec.secagg.inbox import open_inbox
from fedrec.secagg.masks import mask_packed, most_workers
from fedrec.secagg.messages import Advertise, Complaints, Confirm, Masked, Shares, Unmask
from fedrec.secagg.neighbourhood import Neighbourhood, box_keys, check_list, read_cohort
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.round_memory import RoundMemory, WorkedOut
from fedrec.secagg.server_messages import Certificate, Survivors, View
from fedrec.secagg.shamir import split
from fedrec.secagg.share_box import make_box
from fedrec.secagg.survivor_list import check_quorum, check_survivors
from fedrec.secagg.thresholds import Thresholds

_UNSIGNED = bytes(SIGNATURE_BYTES)


class DeviceRound:
    """One device in one sum.

    Args:
        identity: the device's.
        roster: verified (`Roster.verify`); must be the one of ``agreed``.
        agreed: what the device was asked and accepts.
        thresholds: what it insists on.
        replay guard: what it has answered; changed by `mask` and `unmask`: store it before their message leaves.
        now: seconds since 1970 by the device's own clock.
        randomness: gives that many secret bytes; os.urandom but in tests.
        workers: most threads for masks and signatures; None: `most_workers`.
        memory: of this device, where its process keeps what it works out between two messages.

    Every method raises RefusedError (a ProtocolError with a ``reason``) for what the device will not answer, and then
    the round stands as before.  One `DeviceRound` answers each exchange once.
    """

    def __init__(
        self,
        identity: DeviceIdentity,
        roster: Roster,
        agreed: Agreed,
        thresholds: Thresholds,
        replay_guard: ReplayGuard,
        *,
        now: int,
        randomness: Callable[[int], bytes] = os.urandom,
        workers: int | None = None,
        memory: RoundMemory | None = None,
    ) -> None:
        if roster.digest != agreed.roster:
            raise RefusedError(Reason.OTHER_CONTEXT, "the sum is of another roster than this device's")
        self._identity, self._roster, self._agreed, self._thresholds = identity, roster, agreed, thresholds
        self._replay_guard, self._now, self._randomness = replay_guard, now, randomness
        self._workers = workers or most_workers()
        self._memory = memory or RoundMemory()
        self._place = roster.place(identity.public)
        self._stage = DeviceStage.FRESH
        self._secrets: DeviceSecrets | None = None
        self._made: tuple[tuple[PrivateKey, bytes], tuple[PrivateKey, bytes]] | None = None
        self._advert: Advertise | None = None
        self._near: Neighbourhood | None = None
        self._box_keys: dict[int, bytes] = {}
        self._there: frozenset[int] = frozenset()
        self._cohort = b""
        self._held: dict[int, HeldShares] = {}

    def __repr__(self) -> str:
        return f"DeviceRound({self._identity.public.hex()[:16]}, round {self._agreed.round}, {self._stage.name})"

    def advertise(self) -> bytes:
        """Exchange 1: fresh public keys.

        Raises:
            RefusedError: not eligible; the round was answered before; or the device has answered enough for a day.
        """
        self._turn(DeviceStage.FRESH)
        if self._agreed.eligible is not None and self._place not in self._agreed.eligible:
            raise RefusedError(Reason.NOT_MEANT, "this sum is not asked of this device")
        self._replay_guard.check(self._agreed, self._thresholds, self._now)
        self._secrets = DeviceSecrets(*(self._randomness(keys.SEED_BYTES) for _ in range(3)))
        self._stage = DeviceStage.ADVERTISED
        return self._own_advert().to_bytes()

    def share(self, cohort: bytes) -> bytes:
        """Exchange 2: a share of each of two secrets for every neighbour that is there, sealed.

        Raises:
            RefusedError: see `neighbourhood.read_cohort`.
        """
        self._turn(DeviceStage.ADVERTISED)
        self._enter(cohort)
        near, secrets, public = self._neighbours(), self._known(), self._identity.public
        present = list(near.adverts)
        points = [slot + 1 for slot in present]
        dealt = [split(secret, near.threshold, points, self._randomness) for secret in (secrets.mask, secrets.own)]
        boxes = tuple(
            make_box(self._box_keys[slot], public, near.ids[slot], near.context, *shares)
            for slot, shares in zip(present, zip(*dealt, strict=True), strict=True)
        )
        commitment = keys.self_commitment(public, near.context, secrets.own)
        self._stage = DeviceStage.SHARED
        return Shares(self._place, _UNSIGNED, near.context, commitment, boxes).signed(self._identity).to_bytes()

    def check(self, inbox: bytes) -> bytes:
        """Exchange 3: which neighbours' boxes do not open. Nothing is spent by this yet.

        Raises:
            RefusedError: another context, or a list without this device or below a threshold.
        """
        self._turn(DeviceStage.SHARED)
        near, public = self._neighbours(), self._identity.public
        self._there, self._held, closed = open_inbox(inbox, public, near, self._box_keys, self._thresholds)
        self._stage = DeviceStage.CHECKED
        complaints = Complaints(self._place, _UNSIGNED, near.context, near.degree, closed)
        return complaints.signed(self._identity).to_bytes()

    def check_view(self, view: bytes) -> frozenset[int]:
        """Who goes on, if `mask` would answer; changes nothing: before the vector is made, or paid for.

        Raises:
            RefusedError: another context, a list without this device or below a threshold, too few boxes that opened,
                or a round answered before.
        """
        self._turn(DeviceStage.CHECKED)
        near = self._neighbours()
        shown = View.from_bytes(view, near.size)
        check_context(shown.context, near.context, "the view is of another cohort than this device's")
        check_list(shown.members, self._there, near.place, "the devices that go on")
        self._thresholds.check_survivors(len(shown.members), near.size)
        opened = sum(slot in self._held for slot in near.slots(shown.members))
        if opened < near.threshold:
            raise RefusedError(Reason.BAD_BOXES, "too few boxes open", value=(opened, near.threshold))
        self._replay_guard.check(self._agreed, self._thresholds, self._now)
        return shown.members

    def mask(self, view: bytes, elements: NDArray[np.uint64]) -> bytes:
        """Exchange 4: the vector under its own mask and one for each neighbour in the view.

        ``elements``: uint64 [length], below 2^bits.  A neighbour whose box did not open is masked with all the same,
        since it masks too; its share is lost.

        Raises:
            RefusedError: as `check_view`.
            SumError: the elements are not of the agreed form.
        """
        members = self.check_view(view)
        near, agreed = self._neighbours(), self._agreed
        if elements.shape != (agreed.length,) or elements.dtype != np.uint64:
            raise SumError("elements of another form than agreed", value=(elements.shape, str(elements.dtype)))
        context = view_context(near.context, members, near.size)
        pair, slots = self._pairs()[0], near.slots(members)
        signed = [(keys.own_mask_key(self._known().own, context), 1)]
        for slot in slots:
            key = keys.mask_key(*pair, near.adverts[slot].mask_key, context)
            signed.append((key, keys.sign(near.place, near.neighbours[slot])))
        packed = mask_packed(elements, signed, agreed.ring, self._workers)
        receipts = tuple(self._receipt(slot, context, mine=True) for slot in slots)
        message = Masked(self._place, _UNSIGNED, context, receipts, packed)
        self._replay_guard.masked(agreed, self._now)
        self._there, self._stage = members, DeviceStage.MASKED
        self._held = {slot: shares for slot, shares in self._held.items() if slot in set(slots)}
        return message.signed(self._identity).to_bytes()

    def confirm(self, survivors: bytes) -> bytes:
        """Exchange 5, of the committee's devices: sign a list of survivors, the only one that this device ever signs.

        Raises:
            RefusedError: not on the committee; another context; a list without this device, below a threshold, or with
                a gap on the ring; or the second time.
        """
        self._turn(DeviceStage.MASKED)
        near = self._neighbours()
        if near.place not in near.assignment.committee:
            raise RefusedError(Reason.NOT_MEANT, "this device is not on the committee of this round")
        shown = Survivors.from_bytes(survivors, near.size)
        check_context(shown.view, self._view(), "the survivors are of another view than this device's")
        check_survivors(shown.survivors, self._there, near, self._thresholds)
        self._stage = DeviceStage.CONFIRMED
        digest = survivors_digest(shown.survivors, near.size)
        return Confirm(self._place, _UNSIGNED, shown.view, digest).signed(self._identity).to_bytes()

    def unmask(self, certificate: bytes) -> bytes:
        """Exchange 6: one kind of share of each neighbour, never both: of its own mask, or of its mask key.

        Only for a list that a quorum of the committee has signed, so for the same one that every other device helps to
        open.  A survivor without a receipt for this very view gets nothing.

        Raises:
            RefusedError: another context; too few signatures, or one that does not hold; a list without this device,
                below a threshold, or with a gap; or the second time.
        """
        if self._stage is not DeviceStage.CONFIRMED:
            self._turn(DeviceStage.MASKED)
        near = self._neighbours()
        shown = Certificate.from_bytes(certificate, near.size)
        check_context(shown.view, self._view(), "the survivors are of another view than this device's")
        check_survivors(shown.survivors, self._there, near, self._thresholds)
        alive = near.slots(shown.survivors)
        if len(shown.receipts) != len(alive):
            raise RefusedError(Reason.MALFORMED, "receipts do not fit the survivors", value=len(shown.receipts))
        check_quorum(shown, near, self._roster, self._workers, self._memory.signatures)
        vouched = {
            slot
            for slot, found in zip(alive, shown.receipts, strict=True)
            if keys.same(found, self._receipt(slot, shown.view, mine=False))
        }
        if len(vouched) < near.threshold:
            raise RefusedError(Reason.BAD_RECEIPT, "too few neighbours have masked under this view", value=len(vouched))
        slots = sorted(set(self._held) - (set(alive) - vouched))
        shares = tuple(self._held[slot].own if slot in vouched else self._held[slot].mask for slot in slots)
        message = Unmask(self._place, _UNSIGNED, shown.view, near.degree, frozenset(slots), shares)
        self._replay_guard.unmasked(self._agreed)
        self._stage, self._secrets, self._made, self._held, self._box_keys = DeviceStage.UNMASKED, None, None, {}, {}
        self._memory.forget()
        return message.signed(self._identity).to_bytes()

    def to_state(self) -> bytes:
        """All that `restore` needs to go on, secrets included: for the device's own store, to be erased after."""
        size = self._near.size if self._near else 0
        kept = self._cohort, self._there, size, self._held
        return self._memory.pack(DeviceState(self._stage, self._agreed.digest, self._secrets, *kept))

    def restore(self, state: bytes) -> DeviceRound:
        """Go on from `to_state`, on a fresh round of the same arguments; returns itself.

        Raises:
            RefusedError: the state is malformed, or of another sum.
        """
        self._turn(DeviceStage.FRESH)
        stored = self._memory.unpack(state)
        check_context(stored.agreed, self._agreed.digest, "the stored round is of another sum")
        self._secrets = stored.secrets
        if stored.cohort and stored.secrets is not None:
            self._enter(stored.cohort, stored=True)
        self._there, self._held = stored.there, dict(stored.held)
        self._stage = stored.stage
        return self

    def _turn(self, stage: DeviceStage) -> None:
        if self._stage is not stage:
            raise RefusedError(Reason.OUT_OF_TURN, f"not now: this device has {self._stage.name.lower()}")

    def _own_advert(self) -> Advertise:
        if self._advert is None:
            publics = (public for _, public in self._pairs())
            self._advert = Advertise(self._place, _UNSIGNED, self._agreed.digest, *publics).signed(self._identity)
        return self._advert

    def _pairs(self) -> tuple[tuple[PrivateKey, bytes], tuple[PrivateKey, bytes]]:
        """For masks and for boxes."""
        if self._made is None:
            secrets = self._known()
            self._made = keys.mask_pair(secrets.mask), keys.box_pair(secrets.box)
        return self._made

    def _enter(self, cohort: bytes, *, stored: bool = False) -> None:
        def work_out() -> WorkedOut:
            known, checked = (self._agreed, self._roster, self._thresholds, self._workers), self._memory.signatures
            near = read_cohort(cohort, self._own_advert(), *known, stored=stored, memory=checked)
            return WorkedOut(self._pairs(), self._own_advert(), near, box_keys(near, *self._pairs()[1]))

        of = self._identity.public, self._agreed.digest, self._thresholds, self._known(), cohort
        found = self._memory.recall(of, work_out)
        self._made, self._advert, self._near, self._box_keys = found.pairs, found.advert, found.near, found.box_keys
        self._cohort = cohort

    def _view(self) -> bytes:
        return view_context(self._neighbours().context, self._there, self._neighbours().size)

    def _receipt(self, slot: int, view: bytes, *, mine: bool) -> bytes:
        peer, own = self._neighbours().ids[slot], self._identity.public
        return keys.receipt(self._box_keys[slot], *((own, peer) if mine else (peer, own)), view)

    def _known(self) -> DeviceSecrets:
        assert self._secrets is not None
        return self._secrets

    def _neighbours(self) -> Neighbourhood:
        assert self._near is not None
        return self._near
