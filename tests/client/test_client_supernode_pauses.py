"""Flower's SuperNode looks soon after a message, and as seldom as ever where nothing is under way."""

from __future__ import annotations

import inspect

import pytest
from flwr.supernode import start_client_internal

from fedrec.client.supernode_pauses import FLOWERS_OWN, asking_again, shorten_pauses


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
    shorten_pauses()
    assert start_client_internal._pull_and_store_message(state=None) == 5  # type: ignore[call-arg]
    loop = inspect.getsource(start_client_internal.start_client_internal)
    assert "run_id = _pull_and_store_message(" in loop
    assert f"time.sleep({FLOWERS_OWN:g})" in loop
