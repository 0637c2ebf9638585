"""Flower's SuperNode looks soon after a message, as seldom as ever where there is none, and forgets what is over."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.metadata import Metadata
from flwr.common.constant import Status
from flwr.common.serde import make_message
from flwr.supercore.inflatable.inflatable_object import get_object_tree
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supercore.run import Run, RunNotRunningException
from flwr.supernode import start_client_internal
from flwr.supernode.nodestate import NodeState, NodeStateFactory

from fedrec.client.supernode_messages import FLOWERS_OWN, Pull, asking_again, forgetting, mend_supernode, persisting

RUN, NODE, SERVER = 7, 11, 1


class Server:
    """Has a message at each of some times; ``looks``: when it was asked."""

    def __init__(self, *times: float) -> None:
        self.times, self.now, self.looks = list(times), 0.0, list[float]()

    def pull(self) -> int | None:
        self.looks.append(self.now)
        if self.times and self.times[0] <= self.now:
            self.times.pop(0)
            return 7
        return None

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def clock(self) -> float:
        return self.now


def run(server: Server, pull: object, until: float) -> list[float]:
    """Flower's loop: look, wait three seconds where there was nothing; returns when messages were taken."""
    taken = []
    while server.now < until:
        if pull() is None:  # type: ignore[operator]
            server.sleep(FLOWERS_OWN)
        else:
            taken.append(server.now)
            server.sleep(0.5)  # the answer
    return taken


def test_messages_that_follow_each_other_are_taken_at_once() -> None:
    times = [1.0, 2.5, 4.0, 5.5, 7.0, 8.5]
    late = {}
    for name in ("flower", "ours"):
        server = Server(*times)
        pull = server.pull if name == "flower" else asking_again(server.pull, server.clock, server.sleep)
        late[name] = max(took - sent for took, sent in zip(run(server, pull, 60.0), times, strict=True))
    assert late["ours"] <= 0.5
    assert late["flower"] > 1.4


def test_where_nothing_comes_it_looks_as_seldom_as_flowers_own() -> None:
    server = Server()
    assert run(server, asking_again(server.pull, server.clock, server.sleep), 600.0) == []
    calm = [look for look in server.looks if look > 12.0]
    assert len(calm) <= 600 / FLOWERS_OWN
    assert len(server.looks) - len(calm) <= 20


def test_it_stands_where_flowers_loop_finds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop calls this function by this name, with a pause of three seconds where it returns None."""
    monkeypatch.setattr(start_client_internal, "_pull_and_store_message", lambda **_: 5)
    monkeypatch.setattr(start_client_internal, "_push_messages", lambda **_: None)
    mend_supernode()
    assert start_client_internal._pull_and_store_message(state=None) == 5  # type: ignore[call-arg]
    loop = inspect.getsource(start_client_internal.start_client_internal)
    assert "run_id = _pull_and_store_message(" in loop
    assert f"time.sleep({FLOWERS_OWN:g})" in loop
    assert "_push_messages(" in loop and "send=send" in loop and "receive=receive" in loop


class EndedRun:
    """A SuperLink whose run ends between a message and its content."""

    def __init__(self) -> None:
        factory = ObjectStoreFactory()
        self.store = factory.store()
        self.state: NodeState = NodeStateFactory(factory).state()
        self.state.set_node_id(NODE)
        self.state.store_run(Run.create_empty(RUN))
        metadata = Metadata(RUN, "", SERVER, NODE, "", "", time.time(), 3600.0, "query.secagg_unmask")
        self.message: Message = make_message(metadata=metadata, content=RecordDict({"a": ConfigRecord({"b": 1})}))
        self.message.metadata.__dict__["_message_id"] = self.message.object_id

    def gone(self, *_: object) -> bytes:
        raise RunNotRunningException

    def pulled(self, pull: Pull) -> int | None:
        """What Flower's loop does with the message."""
        return pull(
            state=self.state,
            object_store=self.store,
            node_config={},
            receive=lambda: (self.message, get_object_tree(self.message)),
            get_run=self.gone,
            get_fab=self.gone,
            pull_object=self.gone,
            confirm_message_received=self.gone,
            trusted_entities=None,
        )

    @property
    def waiting(self) -> int:
        """Tasks that whoever answers would be given."""
        return len(self.state.get_tasks(statuses=[Status.PENDING]))


@pytest.mark.parametrize("ours", [False, True])
def test_a_message_whose_run_ended_while_it_came_is_not_handed_out(ours: bool) -> None:
    """Flower's own does: whoever answers then waits for its content for two hours, and the next run finds it deaf."""
    ended, flowers = EndedRun(), start_client_internal._pull_and_store_message
    assert ended.pulled(forgetting(flowers) if ours else flowers) is None
    assert ended.waiting == (0 if ours else 1)
    assert len(ended.state.get_messages_legacy()) == (0 if ours else 1)


def failed(status: int) -> httpx.HTTPStatusError:
    asked = httpx.Request("POST", "https://127.0.0.1/v1/fleet/pull-messages")
    return httpx.HTTPStatusError("it failed", request=asked, response=httpx.Response(status, request=asked))


class FailingServer:
    """Fails so many times before it answers."""

    def __init__(self, failures: int, status: int = 500) -> None:
        self.failures, self.status, self.asked = failures, status, 0

    def receive(self) -> None:
        self.asked += 1
        if self.asked <= self.failures:
            raise failed(self.status)


def pulled(pull: Callable[..., object], server: FailingServer) -> object:
    ended = EndedRun()
    return pull(
        state=ended.state,
        object_store=ended.store,
        node_config={},
        receive=server.receive,
        get_run=ended.gone,
        get_fab=ended.gone,
        pull_object=ended.gone,
        confirm_message_received=ended.gone,
        trusted_entities=None,
    )


def test_a_server_that_fails_once_ends_flowers_loop_and_is_asked_again_by_ours() -> None:
    flowers = start_client_internal._pull_and_store_message
    with pytest.raises(httpx.HTTPStatusError):
        pulled(flowers, FailingServer(1))
    once, long = FailingServer(1), FailingServer(99)
    pauses: list[float] = []
    assert pulled(persisting(flowers, pauses.append), once) is None
    assert once.asked == 2 and len(pauses) == 1
    assert pulled(persisting(flowers, pauses.append), long) is None
    assert long.asked == 5 and sum(pauses) < 10


def test_what_is_no_failure_of_the_server_ends_it_as_before() -> None:
    refusing = FailingServer(99, status=403)
    with pytest.raises(httpx.HTTPStatusError):
        pulled(persisting(start_client_internal._pull_and_store_message, lambda _: None), refusing)
    assert refusing.asked == 1


def test_an_answer_is_sent_again_where_the_server_failed() -> None:
    sent: list[int] = []

    def send(number: int) -> str:
        sent.append(number)
        if len(sent) < 3:
            raise failed(503)
        return "taken"

    def push(*, send: Callable[[int], str]) -> str:
        return send(7)

    assert persisting(push, lambda _: None)(send=send) == "taken"
    assert sent == [7, 7, 7]


def test_a_supernode_whose_loop_ended_is_no_process_any_more() -> None:
    """Flower's answers this machine's app from a thread of its own, which would keep up a process that is deaf."""
    code = """
import threading, time
from fedrec.client import supernode
supernode.refuse_unless_isolated = lambda: None
def run_watched(command):
    threading.Thread(target=time.sleep, args=(60,)).start()
    raise %s
supernode.run_watched = run_watched
supernode.main()
"""
    for ending, status in (
        *(("SystemExit(5)", 5), ("SystemExit()", 0), ("SystemExit('why')", 1), ("RuntimeError('why')", 1)),
    ):
        done = subprocess.run([sys.executable, "-c", code % ending], timeout=50, capture_output=True, check=False)
        assert done.returncode == status
        assert (b"why" in done.stderr) == ("why" in ending)
