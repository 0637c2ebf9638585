"""Devices behind a Flower grid whose contributions are masked: the server opens sums over many, nothing else."""

from __future__ import annotations

import logging
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from fedrec.config import Config
from fedrec.errors import ConfigError, ProtocolError
from fedrec.queries.eligible import eligible_places, seed_of_roster
from fedrec.queries.request import Request
from fedrec.queries.secure_wire import (
    Exchange,
    Invitation,
    message_fields,
    message_parts,
    read_message,
    thresholds_of,
)
from fedrec.queries.wire import Envelope
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.messages import Advertise
from fedrec.secagg.outcome import OpenedSum
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.server.aggregation_failed import AggregationFailedError
from fedrec.server.dispatcher import Dispatcher, read, write
from fedrec.server.exclusions import Exclusions
from fedrec.server.flower_devices import FlowerDevices, group_of, no_answer
from fedrec.server.results import AggregateResult
from fedrec.server.stragglers import OpenExchange, SilenceRecord, StragglerPolicy, floor_of

_log = logging.getLogger(__name__)
SILENT: Final = "silent"
EXCLUDED: Final = "excluded"


class SecureDevices(FlowerDevices):
    """The nodes of a grid, asked by secure aggregation.

    Args:
        roster: of the devices behind the nodes, as the devices know it.
        config: the run's settings, as the devices know them.
        run: what names the run to devices: the digest of its manifest; None = Flower's run id, in simulations.
        seed: of the manifest, which decides who neighbours whom; None = of the roster, in simulations.
        grid, nodes, catalogue, users, policy, window: as of `FlowerDevices`; ``policy`` is for one exchange.

    ``exclusions``: devices that are not asked any more, for what they did.

    ``tally``: as of `FlowerDevices`; a device that is left out counts under the reason the protocol names, or under
    "silent", "refused", "failed".  ``aborted`` counts the attempts at the last request that gave no sum, by reason;
    it travels with the sum, too.

    Raises:
        ConfigError: there are fewer nodes than a device wants in a cohort, or too few to be safe.
    """

    def __init__(
        self,
        grid: Grid,
        nodes: Sequence[int],
        *,
        catalogue: str,
        roster: Roster,
        config: Config,
        users: int = 0,
        policy: StragglerPolicy | None = None,
        window: int = 128,
        run: str | None = None,
        seed: bytes | None = None,
    ) -> None:
        settings = config.secure_aggregation
        dropout = settings.dropout
        super().__init__(grid, nodes, catalogue=catalogue, users=users, policy=policy, dropout=dropout, window=window)
        self.config, self.roster, self.settings, self.thresholds = config, roster, settings, thresholds_of(settings)
        self.run = run or str(grid.run.run_id)
        self.seed = seed or seed_of_roster(roster.digest)
        self.aborted: Counter[str] = Counter()
        self.exclusions = Exclusions()
        # Who is behind a node, as soon as it has advertised its keys.
        self._devices: dict[int, bytes] = {}
        if len(self.nodes) < self.thresholds.cohort:
            raise ConfigError(
                f"devices take part in cohorts of at least {self.thresholds.cohort}",
                value=len(self.nodes),
                action="Have more devices, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
            )
        try:
            self.thresholds.check_safe(len(roster.devices))
        except RefusedError as error:
            raise ConfigError(error.what, value=error.value, action=error.action) from None

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """Put a request to the devices at these places, and open the sum over those who see it through.

        A round that failed is asked again, as another attempt under a fresh session, without those that are known to
        have spoiled it.  A sampled cohort that no device would take part in is not asked: its sum is over nobody.

        Raises:
            AggregationFailedError: every attempt failed, or so many devices are excluded that the others would refuse;
                says why.
        """
        self.tally, self.aborted = Counter(), Counter()
        self.exclusions.begin()
        if len(cohort) < self.thresholds.cohort:
            self.tally[Reason.SMALL_COHORT.value] = len(cohort)
            return AggregateResult(np.zeros(request.sum.length), 0, 0, reason=Reason.SMALL_COHORT.value)
        for attempt in range(self.settings.attempts):
            try:
                return self._attempt(request, self._asked(request, cohort), len(cohort), attempt)
            except RoundAbortedError as error:
                self.aborted[error.reason.value] += 1
                if error.reason is Reason.FALSE_SHARES:
                    self.exclusions.suspected(error.devices)
                _log.warning("%s, round %d, attempt %d: %s", request.query, request.round, attempt, error)
        raise self._failed(request, "every attempt failed", self._advice(len(cohort)))

    def _asked(self, request: Request, cohort: Sequence[int]) -> list[int]:
        """The nodes of a cohort without the excluded ones, those that were silent last."""
        floor = floor_of(len(cohort), self.dropout, self.thresholds.cohort)
        nodes = self._without_excluded(cohort)
        if len(nodes) < floor:
            self.exclusions.forgive()
            nodes = self._without_excluded(cohort)
        if len(nodes) < floor:
            what = f"{len(cohort) - len(nodes)} of {len(cohort)} devices are excluded, and devices insist on {floor}"
            raise self._failed(request, what, self._advice(len(cohort)))
        return self.silence.reliable_first(nodes)

    def _without_excluded(self, cohort: Sequence[int]) -> list[int]:
        nodes = (self.nodes[place] for place in cohort)
        return [node for node in nodes if self._devices.get(node, b"") not in self.exclusions]

    def _advice(self, asked: int) -> str:
        """What to do about a sum that cannot be opened."""
        missing = self.tally.total() - self.tally["sum"] + self.exclusions.counts.total()
        if missing > self.dropout * asked:
            wanted = min(0.99, missing / asked + 0.005)
            return (
                f"{missing} of {asked} devices are excluded, silent or bad, more than secure_aggregation.dropout = "
                f"{self.dropout:g} allows for: set it to {wanted:.2f} on devices and server, or replace these devices"
            )
        return "Look into a device's log; start again with the same output directory, and the run goes on"

    def _failed(self, request: Request, why: str, action: str) -> AggregationFailedError:
        excluded = self.exclusions.counts
        return AggregationFailedError(
            f"no sum for {request.query}, round {request.round}: {why}",
            self.aborted,
            excluded=excluded,
            value={"aborted": dict(self.aborted), "devices": dict(self.tally), "excluded": dict(excluded)},
            action=action,
        )

    def _attempt(self, request: Request, nodes: Sequence[int], size: int, number: int) -> AggregateResult:
        """Go through the protocol, step by step.

        ``nodes``: who is asked, of a cohort of ``size``.  ``number``: of the attempt, from 0.
        """
        invitation = Invitation(Envelope(request, secrets.token_hex(16), self.catalogue), number)
        roster, workers = self.roster, os.cpu_count() or 1
        eligible = eligible_places(self.config, request, len(roster.devices))
        agreed = invitation.agreed(self.run, roster.digest, self.seed, eligible)
        thresholds = self.thresholds.for_noise(request.sum.survivors, request.sum.devices)
        current = ServerRound(agreed, roster, thresholds, workers=workers)
        least = floor_of(size, self.dropout, thresholds.least_cohort(size if eligible is None else len(eligible)))
        running = Attempt(self.dispatcher, current, group_of(request), least, self.silence, self.exclusions)
        try:
            running.invite(invitation, nodes)
            running.pass_on(Exchange.SHARE, current.close_advertise())
            running.pass_on(Exchange.CHECK, current.close_share())
            views = current.close_check()
            running.leave_out(current.left_out)
            running.pass_on(Exchange.MASK, views)
            running.pass_on(Exchange.CONFIRM, current.close_masked())
            running.pass_on(Exchange.UNMASK, current.close_confirm())
            opened = current.close_unmask()
        finally:
            self.tally = running.tally()
            self.silence.note(running.answered, running.silent)
            self.exclusions.proved(current.caught)
            self._devices |= running.devices
        self.tally = running.tally(opened)
        if len(opened.survivors) < size:
            _log.warning("%s, round %d: %s", request.query, request.round, dict(self.tally))
        vector, count = request.sum.open(opened.total), len(opened.survivors)
        return AggregateResult(
            vector, count, running.bytes_up(opened), dict(self.aborted), excluded=self.exclusions.counts
        )


class Attempt:
    """One attempt at a round: which node is which device, who fell out where, and how much was sent.

    Whoever is silent in an exchange is not in the next one.  ``floor``: the fewest devices with which it can go on.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        current: ServerRound,
        group: str,
        floor: int,
        silence: SilenceRecord,
        exclusions: Exclusions,
    ) -> None:
        self._dispatcher, self._current, self._group = dispatcher, current, group
        self._floor, self._silence, self._exclusions = floor, silence, exclusions
        self._nodes: dict[bytes, int] = {}
        self._outcomes: dict[int, str] = {}
        self._sent: Counter[int] = Counter()

    def invite(self, invitation: Invitation, nodes: Sequence[int]) -> None:
        """Exchange 1: the request, to all nodes; answered with keys."""
        content = write(invitation.fields(), invitation.parts())
        name = Exchange.ADVERTISE
        self._ask(nodes, (self._dispatcher.message(content, node, name, self._group) for node in nodes), first=True)

    def pass_on(self, exchange: Exchange, messages: Mapping[bytes, bytes]) -> None:
        """A later exchange: to each device its message."""

        def outgoing() -> Iterator[Message]:
            for device, data in messages.items():
                content = write(message_fields(), message_parts(data))
                yield self._dispatcher.message(content, self._nodes[device], exchange, self._group)

        self._ask([self._nodes[device] for device in messages], outgoing(), first=False)

    def leave_out(self, devices: Iterable[bytes]) -> None:
        """Note those that do not go on because their neighbours, or they, cannot open boxes."""
        for node in map(self._nodes.__getitem__, devices):
            self._outcomes[node] = self._outcomes[node] or Reason.BAD_BOXES.value

    def tally(self, opened: OpenedSum | None = None) -> Counter[str]:
        """What became of the devices."""
        survivors = set() if opened is None else {self._nodes[device] for device in opened.survivors}
        outcomes = Counter({"sum": len(survivors)} if survivors else {})
        outcomes.update(reason for node, reason in self._outcomes.items() if reason and node not in survivors)
        return outcomes

    @property
    def devices(self) -> dict[int, bytes]:
        """Who is behind each node that advertised keys."""
        return {node: device for device, node in self._nodes.items()}

    @property
    def silent(self) -> frozenset[int]:
        """Nodes that did not answer in the last exchange they were asked in."""
        return frozenset(node for node, reason in self._outcomes.items() if reason == SILENT)

    @property
    def answered(self) -> frozenset[int]:
        """Nodes that did."""
        return frozenset(self._outcomes) - self.silent

    def bytes_up(self, opened: OpenedSum) -> int:
        """Bytes of the protocol that the survivors sent, in all exchanges together."""
        return sum(self._sent[self._nodes[device]] for device in opened.survivors)

    def _ask(self, nodes: Sequence[int], messages: Iterator[Message], *, first: bool) -> None:
        self._outcomes |= dict.fromkeys(nodes, SILENT)
        exchange = OpenExchange(
            self._dispatcher.policy, len(nodes), min(self._floor, len(nodes)), self._silence.unreliable(nodes)
        )
        for reply in self._dispatcher.replies(messages, exchange):
            outcome = self._outcomes[reply.node] = self._taken(reply.message, reply.node, first=first)
            exchange.judged(reply.seconds, good=not outcome)

    def _taken(self, reply: Message, node: int, *, first: bool) -> str:
        """Why a reply is left out, or nothing."""
        if not reply.has_content():
            return no_answer(reply)
        try:
            data = read_message(*read(reply.content))
        except ProtocolError:
            return Reason.MALFORMED.value
        if first and self._is_excluded(data):
            return EXCLUDED
        refused = self._current.receive(data)
        if refused is not None:
            return refused.reason.value
        self._sent[node] += len(data)
        if first:
            self._nodes[self._current.roster.device(Advertise.from_bytes(data).device)] = node
        return ""

    def _is_excluded(self, data: bytes) -> bool:
        """Whether keys are of an excluded device, of which it was not known which node it is behind."""
        try:
            return self._current.roster.device(Advertise.from_bytes(data).device) in self._exclusions
        except ProtocolError:
            return False
