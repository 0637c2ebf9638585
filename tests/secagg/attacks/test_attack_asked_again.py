"""A server, or somebody on the way, that asks or says something a second time.

Each test shows what it gains where the device does not remember, or where nothing binds a message to its round.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from pytest import MonkeyPatch
from secagg_cases import LENIENT, World, agree

from fedrec.secagg import committee
from fedrec.secagg import thresholds as thresholds_module
from fedrec.secagg.bits import unpack
from fedrec.secagg.committee import CommitteeSize
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.messages import Masked
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.replay_guard import DAY, ReplayGuard
from fedrec.secagg.thresholds import Thresholds


def _modulo(world: World, total: np.ndarray) -> np.ndarray:
    return total & np.uint64(world.agreed.ring.modulus - 1)


def _only(world: World, who: Iterable[int]) -> np.ndarray:
    """The sum over some, whom alone the server asks."""
    return world.unmask(world.confirm(world.mask(world.check_boxes(world.share(world.advertise(who)))))).total


def test_two_sums_that_differ_by_one_device_in_one_run() -> None:
    """The same round once with and once without the target; a device that remembers does not answer twice."""
    first = World.of(6)
    whole = first.run().total
    for replay_guards in (first.replay_guards, [ReplayGuard() for _ in range(6)]):
        again = World.of(6, replay_guards=replay_guards, attempt=1, vectors=first.vectors)
        if replay_guards is first.replay_guards:
            for device in again.rounds:
                with pytest.raises(RefusedError) as caught:
                    device.advertise()
                assert caught.value.reason is Reason.ANSWERED
            continue
        rest = _only(again, range(5))
        np.testing.assert_array_equal(_modulo(again, whole - rest), first.vectors[5])


@pytest.mark.parametrize(("rounds_a_day", "off"), [(1, False), (2, True)])
def test_a_run_under_another_name_is_stopped_by_the_days_rounds_only(rounds_a_day: int, off: bool) -> None:
    """Who carries the messages names the runs: asked the same in a run of another name, a device answers again.

    So two sums that differ by one device can be had as soon as ``rounds_a_day`` allows two: what bounds this is that
    number, and the noise in what is asked.
    """
    thresholds = Thresholds(cohort=3, survivors=2, rounds_a_day=rounds_a_day, assumptions=LENIENT)
    first = World.of(6, thresholds=thresholds)
    whole = first.run().total
    again = World.of(
        6, thresholds=thresholds, replay_guards=first.replay_guards, run="test again", vectors=first.vectors
    )
    if not off:
        for device in again.rounds:
            with pytest.raises(RefusedError) as caught:
                device.advertise()
            assert caught.value.reason is Reason.TOO_MANY_ROUNDS
        return
    rest = _only(again, range(5))
    np.testing.assert_array_equal(_modulo(again, whole - rest), first.vectors[5])


def test_rounds_a_day_are_counted_even_if_the_clock_is_set_back() -> None:
    roster, thresholds, replay_guard = (
        World.of(3).roster,
        Thresholds(cohort=3, survivors=2, rounds_a_day=2),
        ReplayGuard(),
    )
    for number, now in ((1, 1000), (2, 500)):
        replay_guard.check(agree(roster, round=number), thresholds, now)
        replay_guard.masked(agree(roster, round=number), now)
    replay_guard = ReplayGuard.from_bytes(replay_guard.to_bytes())
    for now in (0, 600, 499 + DAY):
        with pytest.raises(RefusedError) as caught:
            replay_guard.check(agree(roster, round=3), thresholds, now)
        assert caught.value.reason is Reason.TOO_MANY_ROUNDS
    replay_guard.check(agree(roster, round=3), thresholds, 500 + DAY)


@pytest.mark.parametrize(("attempts", "off"), [(1, False), (2, False), (2, True)])
def test_an_attempt_more_cuts_a_sum_in_two(attempts: int, off: bool, monkeypatch: MonkeyPatch) -> None:
    """A sum over twelve is opened with the help of seven; the five that were not asked to help are asked again.

    The server would then have the sum of those five, and by subtraction that of the seven.  Five of twelve is below
    the floor, which is relative to those who are asked; and more than seven are needed to open a sum at all.
    """
    assumptions = Assumptions(corrupt=0, dropout=0.1, colluding=0)
    thresholds = Thresholds(cohort=5, survivors=4, attempts=attempts, assumptions=assumptions)
    first = World.of(12, thresholds=thresholds)
    certificates = first.confirm(first.mask(first.views()))
    asked, rest = range(7), range(7, 12)
    whole = first.unmask(certificates, rest)
    assert len(whole.survivors) == 12
    again = World.of(12, thresholds=thresholds, replay_guards=first.replay_guards, attempt=1, vectors=first.vectors)
    for at in range(12) if attempts == 1 else asked:
        with pytest.raises(RefusedError) as caught:
            again.rounds[at].advertise()
        assert caught.value.reason is (Reason.ANSWERED if at in asked else Reason.TOO_MANY_ROUNDS)
    if attempts == 1:
        return
    if not off:
        with pytest.raises(RoundAbortedError) as stopped:
            again.advertise(rest)
        assert stopped.value.reason is Reason.SMALL_COHORT
        # A server that goes on all the same: the devices refuse.
        again = World.of(12, thresholds=thresholds, replay_guards=first.replay_guards, attempt=2, vectors=first.vectors)
        with monkeypatch.context() as patched:
            patched.setattr(Thresholds, "check_cohort", lambda self, count, eligible: None)
            cohorts = again.advertise(rest)
        for at in rest:
            with pytest.raises(RefusedError) as caught:
                again.rounds[at].share(cohorts[at])
            assert caught.value.reason is Reason.SMALL_COHORT
        return
    monkeypatch.setattr(Assumptions, "floor", lambda self, size: 0)
    low = Thresholds(cohort=5, survivors=4, attempts=3, assumptions=assumptions, graph=GraphParameters(11, 2))
    monkeypatch.setattr(Thresholds, "check_graph", lambda self, size, graph: None)
    monkeypatch.setattr(committee, "committee_size", lambda size, wanted: CommitteeSize(size, 1))
    monkeypatch.setattr(thresholds_module, "committee_size", lambda size, wanted: CommitteeSize(size, 1))
    again = World.of(12, thresholds=low, replay_guards=first.replay_guards, attempt=1, vectors=first.vectors)
    part = _only(again, rest)
    np.testing.assert_array_equal(part, first.sum(rest))
    np.testing.assert_array_equal(_modulo(first, whole.total - part), first.sum(asked))


def test_attempts_of_one_round_are_counted() -> None:
    roster, replay_guard = World.of(3).roster, ReplayGuard()
    thresholds = Thresholds(cohort=3, survivors=2, attempts=2)
    for attempt in (0, 3):
        replay_guard.check(agree(roster, attempt=attempt), thresholds, 0)
        replay_guard.masked(agree(roster, attempt=attempt), 0)
    for attempt, reason in ((3, Reason.ANSWERED), (1, Reason.ANSWERED), (4, Reason.TOO_MANY_ROUNDS)):
        with pytest.raises(RefusedError) as caught:
            replay_guard.check(agree(roster, attempt=attempt), thresholds, 0)
        assert caught.value.reason is reason
    replay_guard.check(agree(roster, round=2), thresholds, 0)


@pytest.mark.parametrize("off", [False, True])
def test_a_round_is_replayed(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Devices whose source of randomness gives the same again: with rounds bound in, masks differ all the same.

    Without it the same mask lies over two vectors, and their difference is bare.
    """
    if off:
        monkeypatch.setattr(Agreed, "digest", property(lambda self: bytes(32)))
    masked = []
    for number in (1, 2):
        draw = np.random.default_rng(number)
        vectors = [draw.integers(0, 1 << 10, 5, dtype=np.uint64) for _ in range(4)]
        world = World.of(4, round=number, secrets="the same again", vectors=vectors)
        views = world.views()
        message = Masked.from_bytes(world.rounds[0].mask(views[0], vectors[0]))
        masked.append((unpack(message.packed, 5, world.agreed.bits).astype(np.uint64), vectors[0]))
    modulus = world.agreed.ring.modulus
    (first, one), (second, two) = masked
    bare = bool(np.array_equal(first - second & np.uint64(modulus - 1), one - two & np.uint64(modulus - 1)))
    assert bare is off


def test_messages_of_an_earlier_round_are_worth_nothing_in_this_one() -> None:
    old = World.of(5)
    cohorts = old.advertise()
    inboxes = old.share(cohorts)
    views = old.check_boxes(inboxes)
    lists = old.mask(views)
    certificates = old.confirm(lists)
    old.unmask(certificates)
    new = World.of(5, round=2, replay_guards=old.replay_guards)
    given: dict[int, bytes] = {}
    replayed = cohorts, inboxes, views, lists, certificates
    steps = new.share, new.check_boxes, new.mask, new.confirm, new.unmask
    for exchange in range(6):
        for message in old.sent[exchange]:
            refused = new.server.receive(message)
            assert refused is not None
            # Who is on the committee is drawn anew each round, and seen before the context.
            assert refused.reason in (Reason.OTHER_CONTEXT, Reason.NOT_MEANT)
            assert exchange == 4 or refused.reason is Reason.OTHER_CONTEXT
        if exchange == 0:
            given = new.advertise()
            continue
        at = min(set(given) & set(replayed[exchange - 1]))
        device = new.rounds[at]
        message = replayed[exchange - 1][at]
        with pytest.raises(RefusedError) as caught:
            if exchange == 3:
                device.mask(message, new.vectors[0])
            else:
                getattr(device, ("share", "check", "mask", "confirm", "unmask")[exchange - 1])(message)
        assert caught.value.reason is Reason.OTHER_CONTEXT
        if exchange < 5:
            given = steps[exchange - 1](given)  # type: ignore[operator]
    new.check(new.unmask(given))


@pytest.mark.parametrize("off", [False, True])
def test_a_vector_of_an_earlier_round_in_this_one(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Somebody on the way says again what a device said in the first round, in its place, in the second.

    With rounds bound in, it is turned down. Without, of devices that draw the same secrets again, the server takes it
    in and opens a sum that is wrong, or the sum of a set of vectors that the sender of the message chose.
    """
    if off:
        monkeypatch.setattr(Agreed, "digest", property(lambda self: bytes(32)))
        monkeypatch.setattr(Agreed, "ring_key", property(lambda self: bytes(32)))
    worlds = []
    for number in (1, 2):
        draw = np.random.default_rng(number)
        vectors = [draw.integers(0, 1 << 10, 5, dtype=np.uint64) for _ in range(5)]
        worlds.append(World.of(5, round=number, secrets="the same again", vectors=vectors))
    old, new = worlds
    old.run()
    views = new.views()
    if not off:
        refused = new.server.receive(old.sent[3][0])
        assert refused is not None and refused.reason is Reason.OTHER_CONTEXT
        return
    new.rounds[0].mask(views[0], new.vectors[0])
    assert new.server.receive(old.sent[3][0]) is None
    opened = new.unmask(new.confirm(new.mask(views, {0})))
    assert len(opened.survivors) == 5
    np.testing.assert_array_equal(opened.total, _modulo(new, new.sum(range(1, 5)) + old.vectors[0]))
