"""Devices behind a grid: shares are added exactly, and who does not answer well is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict

from fedrec.errors import ConfigError, ProtocolError
from fedrec.message_records import to_records
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.wire import REFUSED, answer_fields, answer_parts
from fedrec.secagg import bits
from fedrec.server.flower_devices import FlowerDevices
from fedrec.server.stragglers import StragglerPolicy
from fedrec.simulation.engines.grid import InProcessGrid

COUNT, LENGTH = 9, 6
AGREED = PrivateSum.of("popularity", LENGTH, 1.0, COUNT, resolution_bits=16)
QUESTION = Request("popularity", 0, 0, AGREED, {"parameters": np.arange(3, dtype=np.float32)})

Call = Callable[[Message, Context], Message]


def part_of(node: int) -> np.ndarray:
    return np.eye(LENGTH)[node % LENGTH] * (node + 1) / 16


def answer(message: Message, context: Context) -> Message:
    return reply_with(message, AGREED.encode(part_of(context.node_id)))


def reply_with(message: Message, share: bytes) -> Message:
    return Message(to_records(answer_fields(), answer_parts(share)), reply_to=message)


@contextmanager
def devices(call: Call = answer, grid: type[InProcessGrid] = InProcessGrid, **more: object) -> Iterator[FlowerDevices]:
    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in range(COUNT)}
    with grid(call, contexts, run_id=1) as opened:
        # Flower gives ids in no order; the places of devices follow the ids.
        yield FlowerDevices(opened, [3, 1, 0, 2, 8, 7, 6, 5, 4], catalogue="c", **more)  # type: ignore[arg-type]


def sum_of(nodes: Iterable[int]) -> np.ndarray:
    return np.sum([part_of(node) for node in nodes], axis=0)


@pytest.mark.parametrize("window", [1, 2, 4, 128])
def test_the_sum_over_a_cohort_is_exact_whatever_the_window(window: int) -> None:
    with devices(window=window) as asked:
        opened = asked.aggregate(QUESTION, [1, 4, 5, 8])
        np.testing.assert_array_equal(opened.vector, sum_of([1, 4, 5, 8]))
        assert (opened.devices, opened.bytes_up) == (4, 4 * AGREED.bytes_up)
        np.testing.assert_array_equal(asked.aggregate(QUESTION, range(COUNT)).vector, sum_of(range(COUNT)))
        assert asked.tally == {"sum": COUNT}


def test_an_empty_cohort_is_an_empty_sum() -> None:
    with devices() as asked:
        opened = asked.aggregate(QUESTION, [])
    assert (opened.devices, opened.bytes_up) == (0, 0)
    np.testing.assert_array_equal(opened.vector, np.zeros(LENGTH))


def test_users_are_the_nodes_unless_more_stand_behind_them() -> None:
    with devices() as asked:
        assert (asked.users, asked.size) == (COUNT, COUNT)
        assert FlowerDevices(asked.grid, [1, 2], catalogue="c", users=50).users == 50
        for nodes, users in (([], 0), ([1, 2, 3], 2)):
            with pytest.raises(ConfigError):
                FlowerDevices(asked.grid, nodes, catalogue="c", users=users)


# Bad answers, each of the devices 2 and 5, by what they are counted as.


def an_error(message: Message) -> Message:
    return Message(Error(102, "cannot"), reply_to=message)


def a_refusal(message: Message) -> Message:
    return Message(Error(*REFUSED), reply_to=message)


def an_exception(message: Message) -> Message:
    raise RuntimeError("boom")


def nothing_at_all(message: Message) -> Message:
    return Message(RecordDict(), reply_to=message)


def too_short(message: Message) -> Message:
    return reply_with(message, AGREED.encode(part_of(0))[:-1])


def too_long(message: Message) -> Message:
    return reply_with(message, AGREED.encode(part_of(0)) + b"\0")


def beyond_the_modulus(message: Message) -> Message:
    return reply_with(message, b"\xff" * AGREED.bytes_up)


def beyond_the_bound(message: Message) -> Message:
    """Well-formed, but more than the one user behind a node may say."""
    elements = AGREED.ring.encode(np.eye(LENGTH)[0] * 1.5, AGREED.resolution)
    return reply_with(message, bits.pack(elements, AGREED.ring.bits))


def in_flowers_own_array(message: Message) -> Message:
    arrays = ArrayRecord({"share": Array(np.zeros(LENGTH))})
    return Message(RecordDict({"fields": ConfigRecord({**answer_fields()}), "arrays": arrays}), reply_to=message)


def of_another_type(message: Message) -> Message:
    reply = answer(message, Context(1, 2, {}, RecordDict(), {}))
    reply.content["fields"]["array.share"] = "text"
    return reply


def with_metrics(message: Message) -> Message:
    reply = answer(message, Context(1, 2, {}, RecordDict(), {}))
    reply.content["metrics"] = MetricRecord({"num-examples": 7})
    return reply


def with_a_field_too_many(message: Message) -> Message:
    reply = answer(message, Context(1, 2, {}, RecordDict(), {}))
    reply.content["fields"]["num-examples"] = 7
    return reply


BAD = [
    (an_error, "failed"),
    (an_exception, "failed"),
    (a_refusal, "refused"),
    *((make, "malformed") for make in (nothing_at_all, too_short, too_long, beyond_the_modulus)),
    *((make, "malformed") for make in (in_flowers_own_array, of_another_type)),
    (beyond_the_bound, "malformed"),
    (with_metrics, "malformed"),
    (with_a_field_too_many, "malformed"),
]


@pytest.mark.parametrize(("bad", "counted"), BAD)
def test_a_bad_answer_is_left_out_and_counted(bad: Callable[[Message], Message], counted: str) -> None:
    def call(message: Message, context: Context) -> Message:
        return bad(message) if context.node_id in (2, 5) else answer(message, context)

    with devices(call, window=4) as asked:
        opened = asked.aggregate(QUESTION, range(COUNT))
    np.testing.assert_array_equal(opened.vector, sum_of({*range(COUNT)} - {2, 5}))
    assert opened.devices == COUNT - 2
    assert asked.tally == {"sum": COUNT - 2, counted: 2}


class Unreliable(InProcessGrid):
    """Loses the requests to node 2 on the way, never brings node 5's reply, and brings all others twice."""

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        kept = [message for message in messages if message.metadata.dst_node_id != 2]
        return super().push_messages(kept)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        replies = super().pull_messages(message_ids)
        return [reply for reply in replies if reply.metadata.src_node_id != 5 for _ in range(2)]


class Clock:
    """Time that passes only while somebody sleeps, and that is asked for."""

    def __init__(self) -> None:
        self.now, self.longest = 100.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.longest = max(self.longest, seconds)
        self.now += seconds


def test_a_silent_device_is_waited_for_and_then_left_out_and_no_reply_counts_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr("fedrec.server.dispatcher.time", clock)
    with devices(grid=Unreliable, window=4, policy=StragglerPolicy(patience=40.0)) as asked:
        opened = asked.aggregate(QUESTION, range(COUNT))
    # The two silent ones may be asked one after the other; nobody is waited for longer than the patience and a pause.
    assert 40.0 <= clock.now - 100.0 <= 2 * (40.0 + clock.longest)
    np.testing.assert_array_equal(opened.vector, sum_of({*range(COUNT)} - {2, 5}))
    assert asked.tally == {"sum": COUNT - 2, "silent": 2}


class Watched(InProcessGrid):
    """Keeps the largest number of requests under way."""

    most = 0

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = super().push_messages(messages)
        Watched.most = max(Watched.most, len(self._requests))
        return ids


def test_no_more_questions_are_under_way_than_the_window_is_wide() -> None:
    with devices(grid=Watched, window=4) as asked:
        asked.aggregate(QUESTION, range(COUNT))
    assert Watched.most == 4


def test_when_everybody_was_asked_and_nobody_answers_the_run_does_not_go_on() -> None:
    with devices(lambda message, context: a_refusal(message)) as asked:
        with pytest.raises(ProtocolError):
            asked.aggregate(QUESTION, range(COUNT))
        opened = asked.aggregate(QUESTION, [3])  # a sampled cohort can be unlucky
    assert opened.devices == 0
    np.testing.assert_array_equal(opened.vector, np.zeros(LENGTH))


def test_every_start_of_a_server_is_a_session_of_its_own() -> None:
    with devices() as first, devices() as second:
        assert first.session != second.session
        assert len(first.session) == 32


class Failing(InProcessGrid):
    """A SuperLink that fails every second time that it is asked for replies."""

    asked = 0
    status = 500

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        Failing.asked += 1
        if Failing.asked % 2:
            request = httpx.Request("POST", "https://127.0.0.1/v1/runtime/pull-messages")
            response = httpx.Response(Failing.status, request=request)
            raise httpx.HTTPStatusError("it failed", request=request, response=response)
        return super().pull_messages(message_ids)


def test_a_superlink_that_fails_is_asked_again_and_one_that_refuses_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Failing, "asked", 0)
    with devices(grid=Failing) as asked:
        assert asked.aggregate(QUESTION, range(COUNT)).devices == COUNT
    monkeypatch.setattr(Failing, "asked", 0)
    monkeypatch.setattr(Failing, "status", 403)
    with devices(grid=Failing) as asked, pytest.raises(httpx.HTTPStatusError):
        asked.aggregate(QUESTION, range(COUNT))
