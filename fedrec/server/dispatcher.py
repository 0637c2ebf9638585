"""Messages over a Flower grid: out to many nodes, so many at a time, and replies back as they come in."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from fedrec.polling import Polling
from fedrec.server.stragglers import OpenExchange, StragglerPolicy
from fedrec.server_failures import is_server_failure

_log = logging.getLogger(__name__)
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.04, 3.0
# Each look costs the SuperLink a search for all that is waited for.
_SHARE: Final = 0.25


@dataclass(frozen=True)
class Reply:
    """A reply, in time. ``seconds``: after how long."""

    message: Message
    seconds: float

    @property
    def node(self) -> int:
        """Whose it is."""
        return self.message.metadata.src_node_id


@dataclass(frozen=True)
class Dispatcher:
    """How messages go out.

    ``policy``: how long nodes are waited for.  ``window``: messages under way at a time, which bounds the memory that
    waiting replies take.
    """

    grid: Grid
    policy: StragglerPolicy
    window: int

    def replies(self, messages: Iterator[Message], exchange: OpenExchange) -> Iterator[Reply]:
        """One reply at most to each message, as they come in, until the exchange is over.

        Between two, tell `OpenExchange.judged` what the first was worth.
        """
        polling = Polling(_SHORTEST_PAUSE, _LONGEST_PAUSE, _SHARE)
        while True:
            self._send(messages, exchange)
            if exchange.over(time.monotonic()):
                return
            came = False
            for message in self._pulled(exchange):
                seconds = exchange.arrived(message.metadata.reply_to_message_id, time.monotonic())
                if seconds is not None:
                    came = True
                    polling.came()
                    yield Reply(message, seconds)
            exchange.pass_time(time.monotonic())
            if exchange.waiting and not came:
                time.sleep(polling.pause())

    def _pulled(self, exchange: OpenExchange) -> Iterable[Message]:
        """What has come; nothing where the SuperLink fails, as it does now and then when many ask its database."""
        try:
            return self.grid.pull_messages(exchange.waiting)
        except Exception as error:
            if not is_server_failure(error):
                raise
            _log.warning("the SuperLink failed and is asked once more: %s", error)
            return ()

    def _send(self, messages: Iterator[Message], exchange: OpenExchange) -> None:
        """As many as there is room for."""
        fresh = list(islice(messages, max(0, exchange.room(self.window, time.monotonic()))))
        if fresh:
            pushed = set(self.grid.push_messages(fresh))
            for message in fresh:
                metadata = message.metadata
                name = metadata.message_id if metadata.message_id in pushed else ""
                exchange.sent(name, metadata.dst_node_id, time.monotonic())

    def message(self, content: RecordDict, node: int, action: str, group: str) -> Message:
        """A message to a node."""
        return Message(content, node, f"query.{action}", ttl=self.policy.patience, group_id=group)
