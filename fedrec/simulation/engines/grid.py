"""A Flower grid inside this process: the same apps and messages as in production, without sockets or processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

ClientCall = Callable[[Message, Context], Message]
# Is shown each request with the reply of the device to it.
Spy = Callable[[Message, Message], None]

_TASK: Final = 1


class InProcessGrid(Grid):
    """A grid whose nodes are calls of a client app.

    Args:
        client_app: answers messages; what it raises becomes an error reply with the exception's text, as Flower does.
        contexts: node id -> the node's context, kept from message to message.
        run_id: of the run.
        spy: sees all that passes, for tests.

    A request is answered when its reply is pulled, so no more replies are in memory than were asked for. Use it as a
    context manager: Flower lets messages be made only where a task's identity is set, which is one for the process.
    """

    def __init__(
        self, client_app: ClientCall, contexts: Mapping[int, Context], *, run_id: int, spy: Spy | None = None
    ) -> None:
        self._client_app = client_app
        self._contexts = contexts
        self._run = Run.create_empty(run_id)
        self._spy = spy
        self._requests: dict[str, Message] = {}
        self._pushed = 0
        self._before: dict[str, int | None] = {}

    def __enter__(self) -> InProcessGrid:
        ours = {"_run_id": self._run.run_id, "_node_id": SUPERLINK_NODE_ID, "_task_id": _TASK}
        self._before = {name: getattr(TaskIdentity, name) for name in ours}
        _identify(ours)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _identify(self._before)

    def set_run(self, run: Run) -> None:
        """Set the run; its id is what replies carry."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message to a node; kept by Flower for old callers."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """All nodes, ascending."""
        return sorted(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Take requests; returns their ids."""
        ids = []
        for message in messages:
            self._pushed += 1
            ids.append(f"request-{self._pushed}")
            message.metadata.__dict__["_message_id"] = ids[-1]
            self._requests[ids[-1]] = message
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The replies to requests that were pushed and not pulled yet."""
        waiting = [self._requests.pop(name) for name in list(message_ids) if name in self._requests]
        replies = []
        for message in waiting:
            replies.append(self.reply(message))
            self._show(message, replies[-1])
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Push, then pull; every device answers at once, so there is nothing to time out."""
        return self.pull_messages(self.push_messages(messages))

    def cpu_seconds(self) -> float:
        """Processor time of all processes that answer or ask, since they started."""
        return time.process_time()

    def reply(self, message: Message) -> Message:
        """What a request's node answers; what it raises becomes an error reply."""
        node = message.metadata.dst_node_id
        try:
            reply = self._client_app(message, self._contexts[node])
        except Exception as error:
            reply = Message(
                Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{type(error)}:<'{error}'>"), reply_to=message
            )
        reply.metadata.__dict__["_message_id"] = f"reply-to-{message.metadata.message_id}"
        return reply

    def _show(self, message: Message, reply: Message) -> None:
        if self._spy is not None:
            self._spy(message, reply)


def _identify(identity: Mapping[str, int | None]) -> None:
    """Set the identity of the process's task; the properties of the class take no None, which it starts with."""
    for name, value in identity.items():
        setattr(TaskIdentity, name, value)
