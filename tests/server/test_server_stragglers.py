"""When an exchange closes: pure logic over a clock that the test turns, then devices behind a grid that is slow."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ConfigError
from fedrec.message_records import to_records
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request
from fedrec.queries.wire import answer_fields, answer_parts
from fedrec.server.flower_devices import FlowerDevices
from fedrec.server.stragglers import STRIKES, OpenExchange, SilenceRecord, StragglerPolicy, floor_of
from fedrec.simulation.engines.grid import InProcessGrid

HOUR = StragglerPolicy(patience=3600.0, grace=2.0, shortest=10.0)


def opened(asked: int, floor: int, unreliable: Iterable[int] = (), policy: StragglerPolicy = HOUR) -> OpenExchange:
    """An exchange in which node i was sent message ``"i"`` at time 0."""
    exchange = OpenExchange(policy, asked, floor, frozenset(unreliable))
    for node in range(asked):
        exchange.sent(str(node), node, 0.0)
    return exchange


def answer(exchange: OpenExchange, node: int, now: float, *, good: bool = True) -> None:
    seconds = exchange.arrived(str(node), now)
    assert seconds is not None
    exchange.judged(seconds, good=good)


def test_it_closes_when_everybody_has_answered() -> None:
    exchange = opened(4, 4)
    for node in range(4):
        assert not exchange.over(500.0)
        answer(exchange, node, 500.0)
    assert exchange.over(500.0)


def test_enough_and_a_grace_time_close_it() -> None:
    exchange = opened(100, 80)
    for node in range(89):
        answer(exchange, node, 20.0)
    assert not exchange.over(3000.0), "ten may still go missing in later exchanges, eleven would be too many"
    answer(exchange, 89, 40.0)
    assert not exchange.over(119.0)
    assert exchange.over(120.0), "three times as long as the slowest of those that were enough"


def test_whoever_answers_within_the_grace_time_counts_and_does_not_prolong_it() -> None:
    exchange = opened(10, 6)
    for node in range(8):
        answer(exchange, node, 10.0)
    answer(exchange, 8, 29.0)
    assert not exchange.over(29.5) and exchange.over(30.0)
    assert exchange.waiting == ["9"]


def test_a_device_has_a_shortest_time_and_never_more_than_patience() -> None:
    quick = opened(10, 6)
    for node in range(8):
        answer(quick, node, 0.1)
    assert not quick.over(9.9) and quick.over(10.0)
    impatient = opened(10, 6, policy=StragglerPolicy(patience=5.0))
    for node in range(8):
        answer(impatient, node, 4.0)
    assert not impatient.over(4.9) and impatient.over(5.0)


def test_too_few_are_waited_for_until_patience_ends() -> None:
    exchange = opened(10, 9)
    for node in range(8):
        answer(exchange, node, 1.0)
    exchange.pass_time(3599.0)
    assert not exchange.over(3599.0)
    exchange.pass_time(3600.0)
    assert exchange.over(3600.0) and exchange.waiting == []
    assert exchange.arrived("9", 3600.5) is None, "late"


def test_bad_answers_are_not_enough_of_anything() -> None:
    """Twenty send garbage at once: nobody who is honest and slower is cut off by that."""
    exchange = opened(60, 36)
    for node in range(20):
        answer(exchange, node, 0.01, good=False)
    for node in range(20, 57):
        answer(exchange, node, 50.0)
        assert not exchange.over(149.0)
    assert exchange.quorum == 38, "40 can still be good, 36 must"
    answer(exchange, 57, 50.0)
    assert not exchange.over(149.0) and exchange.over(150.0)


def test_unreliable_ones_are_taken_but_not_waited_for() -> None:
    exchange = opened(10, 6, unreliable={8, 9})
    answer(exchange, 9, 0.5)
    for node in range(7):
        answer(exchange, node, 1.0)
    assert not exchange.over(1.0), "7 is waited for"
    answer(exchange, 7, 2.0)
    assert exchange.over(2.0)


def test_unreliable_ones_are_waited_for_where_they_are_needed() -> None:
    exchange = opened(10, 9, unreliable={8, 9})
    for node in range(8):
        answer(exchange, node, 1.0)
    assert not exchange.over(3000.0)
    answer(exchange, 9, 3100.0)
    assert exchange.over(3100.0), "8 is not needed any more"


def test_a_reply_counts_once_and_only_to_what_was_sent() -> None:
    exchange = opened(2, 2)
    answer(exchange, 0, 1.0)
    assert exchange.arrived("0", 1.0) is None and exchange.arrived("7", 1.0) is None
    assert not exchange.over(1.0)


def test_it_is_not_over_while_there_are_messages_to_send() -> None:
    exchange = OpenExchange(HOUR, 3, 1)
    exchange.sent("a", 0, 0.0)
    seconds = exchange.arrived("a", 1.0)
    assert seconds == 1.0
    exchange.judged(seconds, good=True)
    assert not exchange.over(5.0)
    exchange.sent("", 1, 5.0)  # could not be sent: nothing to wait for
    exchange.sent("", 2, 5.0)
    assert exchange.over(5.0)


def test_silent_devices_do_not_hold_the_window() -> None:
    exchange = OpenExchange(HOUR, 100, 80)
    for node in range(4):
        exchange.sent(str(node), node, 0.0)
    assert exchange.room(4, 1000.0) == 0, "nobody has answered yet: they may all be slow"
    answer(exchange, 0, 30.0)
    exchange.sent("4", 4, 30.0)
    assert exchange.room(4, 89.0) == 0
    assert exchange.room(4, 90.0) == 3, "three have been under way for three times as long as is usual"


@given(asked=st.integers(1, 200), dropout=st.floats(0, 0.99), least=st.integers(0, 250))
def test_a_floor_is_within_the_share_that_may_be_missing(asked: int, dropout: float, least: int) -> None:
    floor = floor_of(asked, dropout, least)
    assert 0 <= floor <= asked
    assert floor >= min(asked, least) and floor >= (1 - dropout) * asked - 1e-6
    exchange = OpenExchange(HOUR, asked, floor)
    assert floor <= exchange.quorum <= asked
    assert asked - exchange.quorum <= (asked - floor) / 2


@pytest.mark.parametrize("bad", [{"patience": 0.0}, {"grace": -1.0}, {"patience": float("nan")}])
def test_absurd_policies_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        StragglerPolicy(**bad)


def test_silence_is_remembered_until_an_answer() -> None:
    record = SilenceRecord()
    for _ in range(STRIKES - 1):
        record.note([1], [2, 3])
        assert record.unreliable([1, 2, 3]) == frozenset()
    record.note([1], [2, 3])
    assert record.unreliable([1, 2, 3]) == {2, 3} and record.unreliable([1, 2]) == {2}
    assert record.reliable_first([3, 1, 2, 0]) == [1, 0, 3, 2]
    record.note([2], [])
    assert record.unreliable([1, 2, 3]) == {3}


# Devices behind a grid whose replies take their time.

COUNT, LENGTH = 40, 4
AGREED = PrivateSum.of("popularity", LENGTH, 1.0, COUNT, resolution_bits=16)
REQUEST = Request("popularity", 0, 0, AGREED, {"parameters": np.arange(3, dtype=np.float32)})


@dataclass
class Clock:
    """Time that passes only while somebody sleeps."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Delays:
    """Seconds until each node's reply; infinite = never."""

    of: dict[int, float] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)


class SlowGrid(InProcessGrid):
    """Brings each reply when it is due, also to those that wait for another exchange by then."""

    clock: Clock
    delays: Delays

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        sent = list(messages)
        ids = super().push_messages(sent)
        self._due: list[tuple[float, str]] = getattr(self, "_due", [])
        for name, message in zip(ids, sent, strict=True):
            node = message.metadata.dst_node_id
            self.delays.order.append(node)
            heapq.heappush(self._due, (self.clock.now + self.delays.of.get(node, 1.0), name))
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        ready = []
        while self._due and self._due[0][0] <= self.clock.now:
            ready.append(heapq.heappop(self._due)[1])
        return super().pull_messages(ready)


@contextmanager
def slow_devices(monkeypatch: pytest.MonkeyPatch, delays: Delays) -> Iterator[tuple[FlowerDevices, Clock]]:
    clock = Clock()
    monkeypatch.setattr("fedrec.server.dispatcher.time", clock)

    class Grid(SlowGrid):
        pass

    Grid.clock, Grid.delays = clock, delays

    def call(message: Message, context: Context) -> Message:
        share = AGREED.encode(np.eye(LENGTH)[context.node_id % LENGTH])
        return Message(to_records(answer_fields(), answer_parts(share)), reply_to=message)

    contexts = {node: Context(1, node, {}, RecordDict(), {}) for node in range(COUNT)}
    with Grid(call, contexts, run_id=1) as grid:
        yield FlowerDevices(grid, range(COUNT), catalogue="c", dropout=0.2), clock


def answered(devices: FlowerDevices) -> Callable[[], tuple[int, np.ndarray]]:
    def ask() -> tuple[int, np.ndarray]:
        opened = devices.aggregate(REQUEST, range(COUNT))
        return opened.devices, opened.vector

    return ask


def test_silent_devices_cost_seconds_and_not_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {0, 13, 26, 39}
    delays = Delays(dict.fromkeys(silent, float("inf")))
    with slow_devices(monkeypatch, delays) as (devices, clock):
        ask = answered(devices)
        for number in range(4):
            began, first = clock.now, len(delays.order)
            count, vector = ask()
            assert count == COUNT - len(silent) and devices.tally["silent"] == len(silent)
            assert vector.sum() == count
            # A pause between two looks may come on top.
            assert clock.now - began <= (14.0 if number < STRIKES else 4.0)
            asked = delays.order[first:]
            assert sorted(asked) == list(range(COUNT)), "everybody is asked"
            assert number == 0 or set(asked[-len(silent) :]) == silent, "but those last"
        # One comes back.
        delays.of[13] = 0.5
        assert ask()[0] == COUNT - len(silent) + 1
        assert devices.silence.unreliable(range(COUNT)) == silent - {13}


def test_late_replies_are_never_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come in while the next request is open, and are to another."""
    delays = Delays({7: 14.5})
    with slow_devices(monkeypatch, delays) as (devices, clock):
        ask = answered(devices)
        assert ask()[0] == COUNT - 1
        delays.of = dict.fromkeys(range(COUNT), 9.0)
        count, vector = ask()
        assert clock.now > 14.5
        assert count == COUNT and vector.sum() == COUNT


def test_with_more_silent_ones_than_are_assumed_patience_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = Delays(dict.fromkeys(range(9), float("inf")))
    with slow_devices(monkeypatch, delays) as (devices, clock):
        count, _ = answered(devices)()
        assert count == COUNT - 9 and 3600.0 <= clock.now <= 3604.0
