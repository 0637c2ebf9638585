"""One attempt at a secure sum: messages out, replies in, and what became of each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from flwr.app import Message

from fedrec.errors import ProtocolError
from fedrec.message_records import from_records, to_records
from fedrec.queries.secure_wire import Exchange, Invitation, message_fields, message_parts, read_message
from fedrec.secagg.errors import Reason
from fedrec.secagg.messages import Advertise
from fedrec.secagg.outcome import OpenedSum
from fedrec.secagg.server import ServerRound
from fedrec.server.dispatcher import Dispatcher
from fedrec.server.exclusions import Exclusions
from fedrec.server.flower_devices import no_answer
from fedrec.server.stragglers import OpenExchange, SilenceRecord

SILENT: Final = "silent"
EXCLUDED: Final = "excluded"


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
        content = to_records(invitation.fields(), invitation.parts())
        name = Exchange.ADVERTISE
        self._ask(nodes, (self._dispatcher.message(content, node, name, self._group) for node in nodes), first=True)

    def pass_on(self, exchange: Exchange, messages: Mapping[bytes, bytes]) -> None:
        """A later exchange: to each device its message."""

        def outgoing() -> Iterator[Message]:
            for device, data in messages.items():
                content = to_records(message_fields(), message_parts(data))
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
            data = read_message(*from_records(reply.content))
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
