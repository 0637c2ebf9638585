"""Messages over a Flower grid: out to many nodes, so many at a time, and replies back as they come in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedrec.errors import ProtocolError
from fedrec.queries.wire import ARRAYS, FIELDS, Part

_RAW: Final = "fedrec.raw"
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.02, 3.0


@dataclass(frozen=True)
class Dispatcher:
    """How messages go out.

    ``patience``: seconds after which a node counts as silent.  ``window``: messages under way at a time, which bounds
    the memory that waiting replies take.
    """

    grid: Grid
    patience: float
    window: int

    def replies(self, messages: Iterator[Message]) -> Iterator[Message]:
        """One reply at most to each message, as they come in."""
        waiting: dict[str, float] = {}
        pause = _SHORTEST_PAUSE
        while True:
            fresh = list(islice(messages, self.window - len(waiting)))
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

    def message(self, content: RecordDict, node: int, action: str, group: str) -> Message:
        """A message to a node."""
        return Message(content, node, f"query.{action}", ttl=self.patience, group_id=group)


def write(fields: Mapping[str, str | int], parts: Mapping[str, Part]) -> RecordDict:
    """Fields and arrays as Flower's records, one to one."""
    arrays = {name: Array(part.dtype, part.shape, _RAW, part.data) for name, part in parts.items()}
    return RecordDict({FIELDS: ConfigRecord({**fields}), ARRAYS: ArrayRecord(arrays)})


def read(content: RecordDict) -> tuple[Mapping[str, Any], Mapping[str, Part]]:
    """The inverse. Raises ProtocolError where there are other records."""
    fields, arrays = content.get(FIELDS), content.get(ARRAYS)
    if set(content) != {FIELDS, ARRAYS} or not isinstance(fields, ConfigRecord) or not isinstance(arrays, ArrayRecord):
        raise ProtocolError("an answer's records are not the agreed ones")
    return fields, {name: Part(array.dtype, tuple(array.shape), array.data) for name, array in arrays.items()}
