"""A client app in a module of its own: a new process that answers by it imports little."""

from __future__ import annotations

import os

from flwr.app import ConfigRecord, Context, Message, RecordDict


def call(message: Message, context: Context) -> Message:
    """Answers with the process it is in and how often it was asked there; node 5 raises, node 7 can end its process."""
    if context.node_id == 5:
        raise RuntimeError("nothing here")
    if context.node_id == 7 and message.content["asked"]["end"]:
        os._exit(3)
    times = 1 + int(context.state["asked"]["times"] if context.state else 0)
    context.state["asked"] = ConfigRecord({"times": times})
    found = ConfigRecord({"node": context.node_id, "process": os.getpid(), "times": times})
    return Message(RecordDict({"text": found}), reply_to=message)
