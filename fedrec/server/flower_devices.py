"""Devices behind a Flower grid: a request goes to each node of a cohort, and shares are added up as they come in."""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedrec.errors import ConfigError, ProtocolError, SumError
from fedrec.message_records import from_records, to_records
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.wire import ACTION, REFUSED, Envelope, read_share
from fedrec.server.dispatcher import Dispatcher
from fedrec.server.results import AggregateResult
from fedrec.server.stragglers import OpenExchange, SilenceRecord, StragglerPolicy, floor_of

_log = logging.getLogger(__name__)


class FlowerDevices:
    """The nodes of a grid as the devices of a run; the place of a device is the place of its id among the sorted ids.

    Args:
        grid: Flower's, or one in this process.
        nodes: ids of the nodes that take part in this run, at least one.
        catalogue: digest of the features that item places refer to.
        users: how many users stand behind the nodes; 0 = one each.
        policy: how long devices are waited for.
        dropout: share of the devices asked that may be missing; so many are enough to stop waiting for slow ones.
        window: requests under way at a time. It bounds the memory that waiting answers take.

    ``tally`` counts what became of the last request: "sum", or why a device is not in it ("silent", "refused",
    "failed", "malformed").

    Raises:
        ConfigError: there are no nodes, or more nodes than users.
    """

    def __init__(
        self,
        grid: Grid,
        nodes: Sequence[int],
        *,
        catalogue: str,
        users: int = 0,
        policy: StragglerPolicy | None = None,
        dropout: float = 0.1,
        window: int = 128,
    ) -> None:
        if not nodes or 0 < users < len(nodes):
            raise ConfigError("a run needs nodes, and a user for each at least", value=(len(nodes), users))
        self.grid = grid
        self.dispatcher = Dispatcher(grid, policy or StragglerPolicy(), window)
        self.dropout = dropout
        self.silence = SilenceRecord()
        self.nodes = sorted(nodes)
        self.catalogue = catalogue
        self.session = secrets.token_hex(16)
        self.tally: Counter[str] = Counter()
        self._users = users or len(self.nodes)

    @property
    def users(self) -> int:
        """How many users the roster stands for."""
        return self._users

    @property
    def size(self) -> int:
        """How many devices there are."""
        return len(self.nodes)

    def aggregate(self, request: Request, cohort: Sequence[int]) -> AggregateResult:
        """Put a request to the devices at these places and open the sum over those who answer well.

        A device that is silent, fails, refuses or sends anything but a share of the agreed form and
        within the agreed bound is left out.

        Raises:
            ProtocolError: every device was asked and none is in the sum.
        """
        self.tally = Counter()
        total: NDArray[np.uint64] | None = None
        rows = self._rows_each(request, len(cohort))
        nodes = self.silence.reliable_first(self.nodes[place] for place in cohort)
        answered: set[int] = set()
        exchange = OpenExchange(
            self.dispatcher.policy, len(nodes), floor_of(len(nodes), self.dropout), self.silence.unreliable(nodes)
        )
        for reply in self.dispatcher.replies(self._requests(request, nodes), exchange):
            outcome, total = _taken(reply.message, request.sum, total, rows)
            self.tally[outcome] += 1
            answered.add(reply.node)
            exchange.judged(reply.seconds, good=outcome == "sum")
        self.silence.note(answered, set(nodes) - answered)
        survivors = self.tally["sum"]
        if silent := len(cohort) - self.tally.total():
            self.tally["silent"] = silent
        if survivors < len(cohort):
            _log.warning("%s, round %d: %s", request.query, request.round, dict(self.tally))
        if not survivors and len(cohort) == self.size:
            raise ProtocolError(
                f"every device was asked for {request.query} and none answered",
                value=dict(self.tally),
                action="Look into a device's log; start again with the same output directory, and the run goes on",
            )
        return AggregateResult(request.sum.open(total), survivors, request.sum.bytes_up * survivors)

    def _rows_each(self, request: Request, asked: int) -> int:
        """The most rows that one device may answer for: where every user has a device, about those of one user.

        A sampled sum has room for the largest cohort that there may be; of a smaller one each may say a little more.
        """
        return request.sum.rows // max(1, asked) if self._users == self.size else request.sum.rows

    def _requests(self, request: Request, nodes: Sequence[int]) -> Iterator[Message]:
        """The same content for every node."""
        asked = Envelope(request, self.session, self.catalogue)
        content = to_records(asked.fields(), asked.parts())
        for node in nodes:
            yield self.dispatcher.message(content, node, ACTION, group_of(request))


def group_of(request: Request) -> str:
    """What messages about a request are filed under."""
    return f"{request.query} {request.round}"


def no_answer(reply: Message) -> str:
    """What a reply without content is counted as."""
    return "refused" if reply.has_error() and reply.error.code == REFUSED[0] else "failed"


def _taken(
    reply: Message, agreed: PrivateSum, total: NDArray[np.uint64] | None, rows: int
) -> tuple[str, NDArray[np.uint64] | None]:
    """Add a reply's share to the running total, or say why it is left out."""
    if not reply.has_content():
        return no_answer(reply), total
    try:
        return "sum", agreed.add(total, read_share(*from_records(reply.content), agreed), rows=rows)
    except (ProtocolError, SumError) as error:
        _log.warning("a malformed answer is left out: %s", error)
        return "malformed", total
