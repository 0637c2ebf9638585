"""A bundle whose app reads the device's store and sends it back, and a SuperNode that offers a message for it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import uvicorn
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.cli.build import build_fab_from_files
from flwr.common.serde import make_message
from flwr.supercore.constant import TaskType
from flwr.supercore.fab import Fab
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects, get_object_tree, no_object_id_recompute
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run
from flwr.supernode.main import create_app
from flwr.supernode.nodestate import NodeState, NodeStateFactory

from fedrec.client.flower_runtime import LOOPBACK, free_port
from server.deploy.foreign_bundle import foreign_bundle

RUN, NODE, SERVER = 7, 11, 1


@dataclass(frozen=True)
class Offered:
    """A SuperNode's runtime API, and what is in its memory. ``fab``: the bundle that it was sent."""

    address: str
    secret: bytes
    state: NodeState
    fab: bytes

    def reply(self) -> Message:
        """The answer that waits to be sent; fails where there is none."""
        [message] = self.state.get_messages_legacy(is_reply=True)
        return message

    def says(self, text: bytes) -> bool:
        """Whether anything that would be sent to the server has these bytes in it."""
        objects = self.state.object_store.store  # type: ignore[attr-defined]
        return any(text in self.state.object_store.get(name) for name in objects)


@contextmanager
def offered(
    node_config: dict[str, str], *, secret: bytes = b"", agent: bool = False, kind: str = "query.private_sum"
) -> Iterator[Offered]:
    """A SuperNode of Flower's own, without its connection, that has been sent `foreign_bundle` and one message.

    Args:
        node_config: what the node was started with.
        secret: opens the runtime API; empty = it is open, as Flower leaves it.
        agent: the run says that its app is an agent's.
        kind: of the message.
    """
    fab, _ = build_fab_from_files({name: text.encode() for name, text in foreign_bundle().items()})
    factory = NodeStateFactory(ObjectStoreFactory())
    state = factory.state()
    state.set_node_id(NODE)
    digest = hashlib.sha256(fab).hexdigest()
    state.store_fab(Fab(digest, fab, {}))
    state.store_run(replace(Run.create_empty(RUN), fab_id="fedrec/foreign", fab_version="1.0.0", fab_hash=digest))
    state.set_run_series_context(0, Context(RUN, NODE, {**node_config}, RecordDict(), {"catalogue": "the server's"}))
    metadata = Metadata(RUN, "", SERVER, NODE, "", "", time.time(), 3600.0, kind)
    message = make_message(metadata=metadata, content=RecordDict({"fields": ConfigRecord({"format": 1})}))
    _insert(state, message)
    state.create_task(task_type=TaskType.AGENT_APP if agent else TaskType.CLIENT_APP, run_id=RUN, fab_hash=digest)
    port = free_port()
    app = create_app(state_factory=factory, superexec_auth_secret=secret or None)
    server = uvicorn.Server(uvicorn.Config(app, host=LOOPBACK, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.02)
        yield Offered(f"{LOOPBACK}:{port}", secret, state, fab)
    finally:
        server.should_exit = True
        thread.join()


def _insert(state: NodeState, message: Message) -> None:
    with no_object_id_recompute():
        message.metadata.__dict__["_message_id"] = message.object_id
        state.store_message(message)
        state.object_store.preregister(RUN, get_object_tree(message))
        for name, part in get_all_nested_objects(message).items():
            state.object_store.put(name, part.deflate())
