"""A device's side of one secure sum: four messages out, three in, no clock, no network, no storage of its own.

The steps are those of Bell et al. (CCS 2020), algorithm 2, with the signatures and self-computed neighbours of their
section 4, and with gates and receipts in place of the round in which survivors are agreed on; see
docs/secure-aggregation.md for each deviation.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg import keys
from fedrec.secagg.agreement import PrivateKey
from fedrec.secagg.context import Agreed, view_context
from fedrec.secagg.device_state import DeviceSecrets, DeviceStage, HeldShares, pack_state, unpack_state
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.identity import SIGNATURE_BYTES, DeviceIdentity
from fedrec.secagg.masks import mask_packed
from fedrec.secagg.messages import Advertise, Inbox, Masked, Shares, Survivors, Unmask
from fedrec.secagg.neighbourhood import Neighbourhood, check_list, read_cohort
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.sealed_shares import open_box, seal
from fedrec.secagg.shamir import SHARE_BYTES, split
from fedrec.secagg.thresholds import Thresholds

MOST_WORKERS = min(2, os.cpu_count() or 1)
_UNSIGNED = bytes(SIGNATURE_BYTES)


@dataclass(frozen=True)
class _View:
    """Who is still there once secrets are shared. ``context``: see `context.view_context`."""

    context: bytes
    sharers: frozenset[int]


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
        workers: most threads for masks and signatures.

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
        workers: int = MOST_WORKERS,
    ) -> None:
        if roster.digest != agreed.roster:
            raise RefusedError(Reason.OTHER_CONTEXT, "the sum is of another roster than this device's")
        self._identity, self._roster, self._agreed, self._thresholds = identity, roster, agreed, thresholds
        self._replay_guard, self._now, self._randomness, self._workers = replay_guard, now, randomness, workers
        self._place = roster.place(identity.public)
        self._stage = DeviceStage.FRESH
        self._secrets: DeviceSecrets | None = None
        self._made: tuple[tuple[PrivateKey, bytes], tuple[PrivateKey, bytes]] | None = None
        self._advert: Advertise | None = None
        self._cohort = b""
        self._near: Neighbourhood | None = None
        self._box_keys: list[bytes] = []
        self._view: _View | None = None
        self._held: dict[int, HeldShares] = {}

    def __repr__(self) -> str:
        return f"DeviceRound({self._identity.public.hex()[:16]}, round {self._agreed.round}, {self._stage.name})"

    @property
    def stage(self) -> DeviceStage:
        """What was done last."""
        return self._stage

    def advertise(self) -> bytes:
        """Exchange 1: fresh public keys.

        Raises:
            RefusedError: the round was answered before, or the device has answered enough for a day.
        """
        self._turn(DeviceStage.FRESH)
        self._replay_guard.check(self._agreed, self._thresholds, self._now)
        self._secrets = DeviceSecrets(*(self._randomness(keys.SEED_BYTES) for _ in range(4)))
        self._stage = DeviceStage.ADVERTISED
        return self._own_advert().to_bytes()

    def share(self, cohort: bytes) -> bytes:
        """Exchange 2: a share of each of three secrets for every neighbour, sealed.

        Raises:
            RefusedError: see `neighbourhood.read_cohort`.
        """
        self._turn(DeviceStage.ADVERTISED)
        self._enter(cohort)
        near, secrets, public = self._neighbours(), self._known(), self._identity.public
        points = range(1, near.degree + 1)
        three = (secrets.mask, secrets.own, secrets.gate)
        dealt = [split(secret, near.threshold, points, self._randomness) for secret in three]
        boxes = tuple(
            seal(key, public, peer, near.context, b"".join(shares))
            for key, peer, shares in zip(self._box_keys, near.ids, zip(*dealt, strict=True), strict=True)
        )
        commitments = (
            keys.self_commitment(public, near.context, secrets.own),
            keys.gate_commitment(public, near.context, secrets.gate),
        )
        self._stage = DeviceStage.SHARED
        return Shares(self._place, _UNSIGNED, near.context, *commitments, boxes).signed(self._identity).to_bytes()

    def check_inbox(self, inbox: bytes) -> None:
        """Raise what `mask` would of this inbox, and change nothing: before the vector is made, or paid for.

        Raises:
            RefusedError: as `mask`.
        """
        self._turn(DeviceStage.SHARED)
        self._read_inbox(inbox)
        self._replay_guard.check(self._agreed, self._thresholds, self._now)

    def mask(self, inbox: bytes, elements: NDArray[np.uint64]) -> bytes:
        """Exchange 3: the vector under its own mask and one for each neighbour that shared its secrets.

        ``elements``: uint64 [length], below 2^bits.  A neighbour whose box does not open is masked with all the same,
        since it may have masked too; its share is lost.

        Raises:
            RefusedError: another context, a list without this device or below a threshold, too few boxes that open, or
                a round answered before.
            SumError: the elements are not of the agreed form.
        """
        self._turn(DeviceStage.SHARED)
        near, secrets, agreed = self._neighbours(), self._known(), self._agreed
        view, held = self._read_inbox(inbox)
        if elements.shape != (agreed.length,) or elements.dtype != np.uint64:
            raise SumError("elements of another form than agreed", value=(elements.shape, str(elements.dtype)))
        self._replay_guard.check(agreed, self._thresholds, self._now)
        private, public = self._pairs()[0]
        slots = near.slots(view.sharers)
        signed = [(keys.own_mask_key(secrets.own, view.context), 1)]
        for slot in slots:
            key = keys.mask_key(private, public, near.adverts[slot].mask_key, view.context)
            signed.append((key, keys.sign(near.place, near.neighbours[slot])))
        packed = mask_packed(elements, signed, agreed.ring, self._workers)
        receipts = tuple(self._receipt(slot, view.context, mine=True) for slot in slots)
        message = Masked(self._place, _UNSIGNED, view.context, receipts, packed)
        self._replay_guard.masked(agreed, self._now)
        self._view, self._held, self._stage = view, held, DeviceStage.MASKED
        return message.signed(self._identity).to_bytes()

    def unmask(self, survivors: bytes) -> bytes:
        """Exchange 4: one kind of share of each neighbour, never both: of its own mask, or of its mask key.

        They are sealed behind this device's gate, which opens only if enough of its neighbours count *this* device
        among the survivors; so nobody's neighbours can be told one thing and the neighbours' neighbours another.
        A survivor without a receipt for this very view gets nothing.

        Raises:
            RefusedError: another context, a list without this device or below a threshold, or the second time.
        """
        self._turn(DeviceStage.MASKED)
        near, secrets, view = self._neighbours(), self._known(), self._seen()
        shown = Survivors.from_bytes(survivors, near.size)
        if shown.view != view.context:
            raise RefusedError(Reason.OTHER_CONTEXT, "the survivors are of another view than this device's")
        check_list(shown.survivors, view.sharers, near.place, "the survivors")
        self._thresholds.check_survivors(len(shown.survivors))
        alive = near.slots(shown.survivors)
        if len(shown.receipts) != len(alive):
            raise RefusedError(Reason.MALFORMED, "receipts do not fit the survivors", value=len(shown.receipts))
        vouched = {
            slot
            for slot, found in zip(alive, shown.receipts, strict=True)
            if keys.same(found, self._receipt(slot, view.context, mine=False))
        }
        if len(vouched) < near.threshold:
            raise RefusedError(Reason.BAD_RECEIPT, "too few neighbours have masked under this view", value=len(vouched))
        slots = sorted(set(self._held) - (set(alive) - vouched))
        gates = tuple(self._held[slot].gate for slot in slots if slot in vouched)
        opened = b"".join(self._held[slot].own if slot in vouched else self._held[slot].mask for slot in slots)
        sealed = keys.close_gate(secrets.gate, self._identity.public, view.context, opened)
        message = Unmask(self._place, _UNSIGNED, view.context, near.degree, frozenset(slots), gates, sealed)
        self._replay_guard.unmasked(self._agreed)
        self._stage, self._secrets, self._made, self._held, self._box_keys = DeviceStage.UNMASKED, None, None, {}, []
        return message.signed(self._identity).to_bytes()

    def to_state(self) -> bytes:
        """All that `from_state` needs to go on, secrets included: for the device's own store, to be erased after."""
        sharers = self._view.sharers if self._view else frozenset()
        size = self._near.size if self._near else 0
        return pack_state(self._stage, self._agreed.digest, self._secrets, self._cohort, (sharers, size), self._held)

    def restore(self, state: bytes) -> DeviceRound:
        """Go on from `to_state`, on a fresh round of the same arguments; returns itself.

        Raises:
            RefusedError: the state is malformed, or of another sum.
        """
        self._turn(DeviceStage.FRESH)
        stage, agreed, secrets, cohort, sharers, held = unpack_state(state)
        if agreed != self._agreed.digest:
            raise RefusedError(Reason.OTHER_CONTEXT, "the stored round is of another sum")
        self._secrets = secrets
        if cohort and secrets is not None:
            self._enter(cohort)
            near = self._neighbours()
            if stage >= DeviceStage.MASKED:
                self._view = _View(view_context(near.context, sharers, near.size), sharers)
        self._held, self._stage = held, DeviceStage(stage)
        return self

    def _turn(self, stage: DeviceStage) -> None:
        if self._stage is not stage:
            raise RefusedError(Reason.OUT_OF_TURN, f"not now: this device has {self._stage.name.lower()}")

    def _own_advert(self) -> Advertise:
        if self._advert is None:
            publics = (public for _, public in self._pairs())
            advert = Advertise(self._place, _UNSIGNED, self._agreed.digest, *publics)
            self._advert = advert.signed(self._identity)
        return self._advert

    def _pairs(self) -> tuple[tuple[PrivateKey, bytes], tuple[PrivateKey, bytes]]:
        """For masks and for boxes."""
        if self._made is None:
            secrets = self._known()
            self._made = keys.mask_pair(secrets.mask), keys.box_pair(secrets.box)
        return self._made

    def _enter(self, cohort: bytes) -> None:
        near = read_cohort(cohort, self._own_advert(), self._agreed, self._roster, self._thresholds, self._workers)
        private, public = self._pairs()[1]
        try:
            self._box_keys = [keys.box_key(private, public, advert.box_key, near.context) for advert in near.adverts]
        except ProtocolError as error:
            raise RefusedError(Reason.MALFORMED, error.what, value=error.value) from None
        self._near, self._cohort = near, cohort

    def _read_inbox(self, data: bytes) -> tuple[_View, dict[int, HeldShares]]:
        near = self._neighbours()
        inbox = Inbox.from_bytes(data, near.size)
        if inbox.context != near.context:
            raise RefusedError(Reason.OTHER_CONTEXT, "the inbox is of another cohort than this device's")
        check_list(inbox.sharers, None, near.place, "the devices that shared")
        self._thresholds.check_survivors(len(inbox.sharers))
        slots = near.slots(inbox.sharers)
        if len(inbox.boxes) != len(slots):
            raise RefusedError(Reason.MALFORMED, "boxes do not fit the devices that shared", value=len(inbox.boxes))
        held = {}
        for slot, box in zip(slots, inbox.boxes, strict=True):
            try:
                opened = open_box(self._box_keys[slot], near.ids[slot], self._identity.public, near.context, box)
            except ProtocolError:
                continue
            held[slot] = HeldShares(*(opened[at : at + SHARE_BYTES] for at in range(0, len(opened), SHARE_BYTES)))
        if len(held) < near.threshold:
            raise RefusedError(Reason.BAD_BOXES, "too few boxes open", value=(len(held), near.threshold))
        return _View(view_context(near.context, inbox.sharers, near.size), inbox.sharers), held

    def _receipt(self, slot: int, view: bytes, *, mine: bool) -> bytes:
        peer, own = self._neighbours().ids[slot], self._identity.public
        return keys.receipt(self._box_keys[slot], *((own, peer) if mine else (peer, own)), view)

    def _known(self) -> DeviceSecrets:
        assert self._secrets is not None
        return self._secrets

    def _neighbours(self) -> Neighbourhood:
        assert self._near is not None
        return self._near

    def _seen(self) -> _View:
        assert self._view is not None
        return self._view
