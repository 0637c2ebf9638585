"""A device's part in a secure sum: six messages, between which all that it must remember is in its own store.

Every step ends with one transaction of the store, which is on the disk before its message leaves: a device that is cut
off, or loses power, has either not answered or remembers that it has.  What takes long is done before the transaction,
which then looks whether the sum is still where it was.  Secrets of a sum that is over are in none of the store's files.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fedrec.client.budget import USERS
from fedrec.client.device import Device
from fedrec.client.pending_round import (
    PendingRound,
    begin,
    keep,
    load_pending,
    load_replay_guard,
    progress,
    save_replay_guard,
)
from fedrec.client.request_policy import check_agreed
from fedrec.client.trust import identity_of, roster_of
from fedrec.data.store import EventStore
from fedrec.errors import ProtocolError
from fedrec.queries.cohorts import public_cohort
from fedrec.queries.request import DEVICES, Request
from fedrec.queries.secure_wire import PROTOCOL, Exchange, Invitation, thresholds_of
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster

Clock = Callable[[], float]
_Step = Callable[[DeviceRound], bytes]


class SecureDevice:
    """One device in the protocol ``secagg+``.

    Args:
        device: whose data it is.
        clock: seconds since 1970.

    All methods take the run's name, and raise ProtocolError for what the device will not answer, BudgetExceededError
    where it has given enough, StoreError where its store fails, ConfigError where it lacks a roster.
    """

    def __init__(self, device: Device, clock: Clock = time.time) -> None:
        if device.device_context.config.secure_aggregation.protocol != PROTOCOL:
            raise ProtocolError(
                "this device's settings say nothing of secure aggregation",
                value=device.device_context.config.secure_aggregation.protocol,
            )
        self.device = device
        self.clock = clock

    def advertise(self, run: str, invitation: Invitation) -> bytes:
        """Exchange 1: hold the request to what this device agreed to, then answer with fresh keys."""
        known, asked = self.device.device_context, invitation.envelope
        known.check_catalogue(asked.catalogue)
        check_agreed(known.config, asked.request, known.features)
        with self.device.opened() as store:
            self._check_drawn(store, asked.request)
            pending = PendingRound(run, invitation, self._roster(store).digest, b"")
            current = self._round(store, pending, load_replay_guard(store))
            message = current.advertise()
            with store.transaction(durable=True):
                begin(store, PendingRound(run, invitation, pending.roster, current.to_state()))
            store.empty_log()  # of a sum that was begun before, and came to no end
        return message

    def share(self, run: str, cohort: bytes) -> bytes:
        """Exchange 2: a sealed share of its secrets for every neighbour."""
        return self._step(run, lambda current: current.share(cohort))

    def check(self, run: str, inbox: bytes) -> bytes:
        """Exchange 3: whose sealed shares do not open. Nothing is spent yet."""
        return self._step(run, lambda current: current.check(inbox))

    def mask(self, run: str, view: bytes) -> bytes:
        """Exchange 4: the contribution, masked. From here on this sum counts as answered.

        All that can be refused is refused before a user's data is read, and what it costs is on the disk before, too:
        a device that is cut off while it reckons has paid, whatever it was cut off by.
        """
        known = self.device.device_context
        with self.device.opened(check=False) as store:
            pending = load_pending(store, run)
            self._round(store, pending, load_replay_guard(store)).restore(pending.state).check_view(view)
            request = pending.invitation.envelope.request
            known.handler.check(request)
            cost = self.device.cost(store, request)
            with store.transaction(durable=True):
                cost.charge(store, run)
            elements = self.device.elements(store, request)
        return self._step(run, lambda current: current.mask(view, elements))

    def confirm(self, run: str, survivors: bytes) -> bytes:
        """Exchange 5, of the committee's devices: stand for one list of survivors, and never for another."""
        return self._step(run, lambda current: current.confirm(survivors))

    def unmask(self, run: str, certificate: bytes) -> bytes:
        """Exchange 6: help to take the masks off the sum of the survivors; then everything of the sum is erased."""
        return self._step(run, lambda current: current.unmask(certificate), last=True)

    def _step(self, run: str, step: _Step, *, last: bool = False) -> bytes:
        with self.device.opened(check=False) as store:
            before = progress(store)
            pending = load_pending(store, run)
            replay_guard = load_replay_guard(store)
            current = self._round(store, pending, replay_guard).restore(pending.state)
            message = step(current)
            with store.transaction(durable=True):
                if progress(store) != before:
                    raise ProtocolError("this device's sum went on meanwhile: it answers one message at a time")
                save_replay_guard(store, replay_guard)
                keep(store, None if last else current.to_state())
            if last:
                store.empty_log()
        return message

    def _check_drawn(self, store: EventStore, request: Request) -> None:
        """Raise ProtocolError where a request is not put to this device, or names other numbers than were signed.

        Who is asked follows from public randomness (`fedrec.queries.cohorts`), but for samples that the settings leave
        to the server.
        """
        known, roster = self.device.device_context, self._roster(store)
        size, said = len(roster.devices), request.settings
        signed = {DEVICES: size} if known.manifest is None else {DEVICES: size, USERS: known.manifest.users}
        for name, count in signed.items():
            if said.get(name, count) != count:
                raise ProtocolError(f"a request names another number of {name} than was signed", value=said[name])
        cohort = public_cohort(known.config, request, size, known.cohort_key)
        if request.sum.noise and request.sum.devices < size and DEVICES not in said:
            # A cohort's share of the noise is sized by the roster that it was drawn from.
            raise ProtocolError("a request to some of the devices does not say of how many", value=request.sum.devices)
        if cohort is not None and roster.place(self._identity(store).public) not in cohort:
            raise ProtocolError("this device is not drawn for this round", value=(request.query, request.round))

    def _identity(self, store: EventStore) -> DeviceIdentity:
        return identity_of(store) if self.device.shared is None else self.device.shared.identity(store)

    def _roster(self, store: EventStore) -> Roster:
        return roster_of(store, self.device.roster, self.device.device_context.manifest)

    def _round(self, store: EventStore, pending: PendingRound, replay_guard: ReplayGuard) -> DeviceRound:
        known, request = self.device.device_context, pending.invitation.envelope.request
        config, roster = known.config, self._roster(store)
        eligible = public_cohort(config, request, len(roster.devices), known.cohort_key)
        thresholds = thresholds_of(config.secure_aggregation, len(roster.devices))
        return DeviceRound(
            self._identity(store),
            roster,
            pending.invitation.agreed(pending.run, pending.roster, known.cohort_key, eligible),
            thresholds.for_noise(request.sum.survivors, request.sum.devices),
            replay_guard,
            now=int(self.clock()),
            memory=None if self.device.shared is None else self.device.shared.memory(self.device.store),
        )


def answer_exchange(device: Device, exchange: Exchange, run: str, asked: Invitation | bytes) -> bytes:
    """What a device says in one exchange. ``asked``: an invitation in the first one, the protocol's bytes later.

    Raises as `SecureDevice`, and ProtocolError where the one is given in place of the other.
    """
    secure = SecureDevice(device)
    if isinstance(asked, Invitation):
        if exchange is not Exchange.ADVERTISE:
            raise ProtocolError("an invitation in the midst of a sum", value=exchange.value)
        return secure.advertise(run, asked)
    steps = {
        Exchange.SHARE: secure.share,
        Exchange.CHECK: secure.check,
        Exchange.MASK: secure.mask,
        Exchange.CONFIRM: secure.confirm,
        Exchange.UNMASK: secure.unmask,
    }
    if exchange not in steps:
        raise ProtocolError("a sum begins with an invitation", value=exchange.value)
    return steps[exchange](run, asked)
