"""Devices behind a Flower grid: a question goes to each node of a cohort, and shares are added up as they come in."""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedrec.aggregation.private_sum import PrivateSum
from fedrec.aggregation.question import Question
from fedrec.aggregation.wire import ACTION, ARRAYS, FIELDS, REFUSED, Envelope, Part, read_share
from fedrec.errors import ConfigError, ProtocolError, SumError
from server.run import Opened

_log = logging.getLogger(__name__)
_RAW: Final = "fedrec.raw"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 3.0


class FlowerDevices:
    """The nodes of a grid as the devices of a run; the place of a device is the place of its id among the sorted ids.

    Args:
        grid: Flower's, or one in this process.
        nodes: ids of the nodes that take part in this run, at least one.
        catalogue: digest of the features that item places refer to.
        users: how many users stand behind the nodes; 0 = one each.
        patience: seconds after which a device that was asked counts as silent.
        window: questions under way at a time. It bounds the memory that waiting answers take.

    ``tally`` counts what became of the last question: "sum", or why a device is not in it ("silent", "refused",
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
        patience: float = 3600.0,
        window: int = 128,
    ) -> None:
        if not nodes or 0 < users < len(nodes):
            raise ConfigError("a run needs nodes, and a user for each at least", value=(len(nodes), users))
        self.grid = grid
        self.nodes = sorted(nodes)
        self.catalogue = catalogue
        self.session = secrets.token_hex(16)
        self.patience = patience
        self.window = window
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

    def ask(self, question: Question, cohort: Sequence[int]) -> Opened:
        """Put a question to the devices at these places and open the sum over those who answer well.

        A device that is silent, fails, refuses or sends anything but a share of the agreed form is left out.

        Raises:
            ProtocolError: every device was asked and none is in the sum.
        """
        self.tally = Counter()
        total: NDArray[np.uint64] | None = None
        for reply in self._replies(question, cohort):
            outcome, total = _taken(reply, question.sum, total)
            self.tally[outcome] += 1
        survivors = self.tally["sum"]
        if silent := len(cohort) - self.tally.total():
            self.tally["silent"] = silent
        if survivors < len(cohort):
            _log.warning("%s, round %d: %s", question.query, question.round, dict(self.tally))
        if not survivors and len(cohort) == self.size:
            raise ProtocolError(
                f"every device was asked for {question.query} and none answered",
                value=dict(self.tally),
                action="Look into a device's log; start again with the same output directory, and the run goes on",
            )
        return Opened(question.sum.open(total), survivors, question.sum.bytes_up * survivors)

    def _replies(self, question: Question, cohort: Sequence[int]) -> Iterator[Message]:
        """One reply at most to each question, as they come in."""
        questions = self._questions(question, cohort)
        waiting: dict[str, float] = {}
        pause = _SHORTEST_PAUSE
        while True:
            fresh = list(islice(questions, self.window - len(waiting)))
            if fresh:
                until = time.monotonic() + self.patience
                waiting |= {name: until for name in self.grid.push_messages(fresh) if name}
            elif not waiting:
                return
            pause = min(2 * pause, _LONGEST_PAUSE)
            for reply in self.grid.pull_messages(list(waiting)):
                if waiting.pop(reply.metadata.reply_to_message_id, None) is not None:
                    pause = _SHORTEST_PAUSE
                    yield reply
            now = time.monotonic()
            waiting = {name: until for name, until in waiting.items() if until > now}
            if waiting and pause > _SHORTEST_PAUSE:
                time.sleep(pause)

    def _questions(self, question: Question, cohort: Sequence[int]) -> Iterator[Message]:
        """The same content for every device of the cohort."""
        asked = Envelope(question, self.session, self.catalogue)
        arrays = {name: Array(part.dtype, part.shape, _RAW, part.data) for name, part in asked.parts().items()}
        content = RecordDict({FIELDS: ConfigRecord({**asked.fields()}), ARRAYS: ArrayRecord(arrays)})
        group = f"{question.query} {question.round}"
        for place in cohort:
            yield Message(content, self.nodes[place], f"query.{ACTION}", ttl=self.patience, group_id=group)


def _taken(
    reply: Message, agreed: PrivateSum, total: NDArray[np.uint64] | None
) -> tuple[str, NDArray[np.uint64] | None]:
    """Add a reply's share to the running total, or say why it is left out."""
    if not reply.has_content():
        return ("refused" if reply.has_error() and reply.error.code == REFUSED[0] else "failed"), total
    try:
        return "sum", agreed.add(total, _share(reply.content, agreed))
    except (ProtocolError, SumError) as error:
        _log.warning("a malformed answer is left out: %s", error)
        return "malformed", total


def _share(content: RecordDict, agreed: PrivateSum) -> bytes:
    fields, arrays = content.get(FIELDS), content.get(ARRAYS)
    if set(content) != {FIELDS, ARRAYS} or not isinstance(fields, ConfigRecord) or not isinstance(arrays, ArrayRecord):
        raise ProtocolError("an answer's records are not the agreed ones")
    parts = {name: Part(array.dtype, tuple(array.shape), array.data) for name, array in arrays.items()}
    return read_share(fields, parts, agreed)
