"""Random schedules: whatever is lost, late, doubled, replayed or spoiled, no wrong sum, no hang, no nameless error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from secagg_cases import LENIENT, World

from fedrec.errors import ProtocolError
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.messages import Complaints, Unmask
from fedrec.secagg.outcome import Phase
from fedrec.secagg.thresholds import Thresholds

QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
MACHINES, SCHEDULES = 400, 1600
# Keys and signatures grow with the square of the size: large cohorts are drawn less often.
SIZES = st.sampled_from([5, 5, 5, 5, 5, 6, 6, 7, 8, 12])


class Round(RuleBasedStateMachine):
    """One sum after another by the same devices; the network is hypothesis."""

    def __init__(self) -> None:
        super().__init__()
        self.old: list[bytes] = []
        self.replay_guards: list[Any] | None = None
        self.number = 0

    @initialize(count=SIZES, length=st.integers(3, 8), floor=st.integers(3, 5))
    def start(self, count: int, length: int, floor: int) -> None:
        self.count, self.length, self.thresholds = (
            count,
            length,
            Thresholds(cohort=floor, survivors=floor - 1, assumptions=LENIENT),
        )
        self._begin()

    def _begin(self) -> None:
        self.number += 1
        self.world = World.of(
            self.count,
            thresholds=self.thresholds,
            length=self.length,
            replay_guards=self.replay_guards,
            round=self.number,
            seed=self.count,
        )
        self.replay_guards = self.world.replay_guards
        self.flying: dict[int, bytes] = {at: device.advertise() for at, device in enumerate(self.world.rounds)}
        self.done = False
        self.seen: set[int] = set()

    def _deliver(self, message: bytes) -> bool:
        self.old.append(message)
        return self.world.server.receive(message) is None

    @precondition(lambda self: not self.done and self.flying)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """A message arrives, in any order."""
        at = data.draw(st.sampled_from(sorted(self.flying)))
        if self._deliver(self.flying.pop(at)):
            self.seen.add(at)

    @precondition(lambda self: not self.done and self.flying)
    @rule(keep=st.integers(0, 3))
    def deliver_most(self, keep: int) -> None:
        for at in sorted(self.flying)[keep:]:
            if self._deliver(self.flying.pop(at)):
                self.seen.add(at)

    @precondition(lambda self: not self.done and self.flying)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.flying[data.draw(st.sampled_from(sorted(self.flying)))]

    @precondition(lambda self: not self.done and self.old)
    @rule(data=st.data())
    def replay(self, data: st.DataObject) -> None:
        """Doubled, late, or of another round: always turned down, with a name."""
        refused = self.world.server.receive(data.draw(st.sampled_from(self.old)))
        assert refused is not None and isinstance(refused.reason, Reason)

    @precondition(lambda self: not self.done and self.flying)
    @rule(data=st.data(), flip=st.integers(1, 255))
    def corrupt(self, data: st.DataObject, flip: int) -> None:
        at = data.draw(st.sampled_from(sorted(self.flying)))
        message = bytearray(self.flying[at])
        message[data.draw(st.integers(0, len(message) - 1))] ^= flip
        refused = self.world.server.receive(bytes(message))
        assert refused is not None and isinstance(refused.reason, Reason)

    @precondition(lambda self: not self.done and self.world.server.phase is not Phase.CLOSED)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        """The server waits no longer; whoever is still in it answers, unless what it gets is spoiled on the way."""
        world, phase = self.world, self.world.server.phase
        if data.draw(st.integers(0, 9)):
            for at in sorted(self.flying):
                self._deliver(self.flying.pop(at))
        # What is still on its way stays there, for later: it is late.
        self.old += self.flying.values()
        self.flying = {}
        try:
            if phase is Phase.UNMASK:
                world.check(world.server.close_unmask())
                self.done = True
                return
            server = world.server
            steps = server.close_advertise, server.close_share, server.close_check
            step = (*steps, server.close_masked, server.close_confirm)[phase - 1]
            out = world._by_place(step())
        except RoundAbortedError as error:
            assert isinstance(error.reason, Reason)
            self.done = True
            return
        spoiled = data.draw(st.sets(st.sampled_from(sorted(out)), max_size=2)) if data.draw(st.booleans()) else set()
        for at, message in out.items():
            if at in spoiled:
                message = bytes([*message[:-1], message[-1] ^ 1])
            try:
                self.flying[at] = _answer(world, at, phase, message)
            except ProtocolError as error:
                assert isinstance(error, RefusedError)
                # A device whose neighbours are not there takes no part, whatever it is shown.
                assert at in spoiled or (phase is Phase.ADVERTISE and error.reason is Reason.SMALL_COHORT)

    @precondition(lambda self: self.done)
    @rule()
    def next_round(self) -> None:
        self._begin()

    @invariant()
    def the_server_knows_where_it_is(self) -> None:
        if self.number:
            assert 0 <= self.world.server.received <= self.world.server.expected or self.done


def _answer(world: World, at: int, phase: Phase, message: bytes) -> bytes:
    device = world.rounds[at]
    if phase is Phase.ADVERTISE:
        return device.share(message)
    if phase is Phase.SHARE:
        return device.check(message)
    if phase is Phase.CHECK:
        return device.mask(message, world.vectors[at])
    if phase is Phase.MASK:
        return device.confirm(message)
    return device.unmask(message)


TestRound = pytest.mark.slow(Round.TestCase)
TestRound.settings = settings(
    max_examples=MACHINES, stateful_step_count=20, deadline=None, suppress_health_check=QUIET, derandomize=True
)


@pytest.mark.slow
@settings(max_examples=SCHEDULES, deadline=None, suppress_health_check=QUIET, derandomize=True)
@given(count=SIZES, length=st.integers(3, 8), data=st.data())
def test_random_dropouts_give_the_exact_sum_or_a_named_abort(count: int, length: int, data: st.DataObject) -> None:
    """Who is gone before which exchange; who lies in its shares; who sends twice."""
    everybody = st.sets(st.integers(0, count - 1), max_size=count // 2)
    gone = [data.draw(everybody) for _ in range(6)]
    liars = data.draw(st.sets(st.integers(0, count - 1), max_size=1))
    complains = data.draw(st.booleans())
    world = World.of(count, length=length, thresholds=Thresholds(cohort=3, survivors=3, assumptions=LENIENT))
    server = world.server
    try:
        cohorts = world.advertise(sorted(set(range(count)) - gone[0]))
        if len(cohorts) <= world.thresholds.parameters(count).threshold:
            # Nobody has enough neighbours there to share with.
            for at, cohort in cohorts.items():
                with pytest.raises(RefusedError):
                    world.rounds[at].share(cohort)
            return
        inboxes = world.share(cohorts, gone[1])
        for at in sorted(set(inboxes) - gone[2]):
            message = world.rounds[at].check(inboxes[at])
            if at in liars and complains:
                # Of everybody's box, which did open.
                every = frozenset(server._records.slots(at, server._records.sharers))
                message = (
                    Complaints(at, b"", server._records.context, count - 1, every).signed(world.devices[at]).to_bytes()
                )
            assert server.receive(message) is None
        views = world._by_place(server.close_check())
        certificates = world.confirm(world.mask(views, gone[3]), gone[4])
        for at in sorted(set(certificates) - gone[5]):
            message = world.rounds[at].unmask(certificates[at])
            if at in liars:
                # Well-formed, signed and false.
                answer = Unmask.from_bytes(message, server._records.parameters.degree)
                lie = replace(answer, shares=tuple(bytes(32) for _ in answer.shares))
                message = lie.signed(world.devices[at]).to_bytes()
            server.receive(message)
            server.receive(message)
        opened = server.close_unmask()
    except RoundAbortedError as error:
        assert isinstance(error.reason, Reason)
    else:
        world.check(opened)
        expected = set(range(count)) - set().union(*gone[:4])
        assert {world.place(device) for device in opened.survivors} <= expected


def test_there_are_two_thousand_schedules() -> None:
    assert MACHINES + SCHEDULES >= 2000
