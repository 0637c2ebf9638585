"""A server, or somebody on the way, that asks or says something a second time.

Each test shows what it gains where the device does not remember, or where nothing binds a message to its round.
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest import MonkeyPatch
from secagg_cases import NOBODY, World, agree

from fedrec.secagg.bits import unpack
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Inbox, Masked
from fedrec.secagg.replay_guard import DAY, ReplayGuard
from fedrec.secagg.thresholds import Thresholds


def _modulo(world: World, total: np.ndarray) -> np.ndarray:
    return total & np.uint64(world.agreed.ring.modulus - 1)


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
        rest = again.unmask(again.mask(again.share(again.advertise(range(5))))).total
        np.testing.assert_array_equal(_modulo(again, whole - rest), first.vectors[5])


@pytest.mark.parametrize(("rounds_a_day", "off"), [(1, False), (2, True)])
def test_a_run_under_another_name_is_stopped_by_the_days_rounds_only(rounds_a_day: int, off: bool) -> None:
    """Who carries the messages names the runs: asked the same in a run of another name, a device answers again.

    So two sums that differ by one device can be had as soon as ``rounds_a_day`` allows two: what bounds this is that
    number, and the noise in what is asked.
    """
    thresholds = Thresholds(cohort=3, survivors=2, rounds_a_day=rounds_a_day)
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
    rest = again.unmask(again.mask(again.share(again.advertise(range(5))))).total
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


@pytest.mark.parametrize(("attempts", "off"), [(1, False), (2, True)])
def test_an_attempt_more_cuts_a_sum_in_two(attempts: int, off: bool) -> None:
    """A sum over twelve is opened with the help of seven; the five that were not asked to help are asked again.

    The server then has the sum of those five, and by subtraction that of the seven. Each attempt is one such cut.
    """
    thresholds = Thresholds(cohort=5, survivors=4, attempts=attempts, assumptions=NOBODY)
    first = World.of(12, thresholds=thresholds)
    lists = first.mask(first.share(first.advertise()))
    asked, rest = range(7), range(7, 12)
    whole = first.unmask(lists, rest)
    assert len(whole.survivors) == 12
    again = World.of(12, thresholds=thresholds, replay_guards=first.replay_guards, attempt=1, vectors=first.vectors)
    if not off:
        for at in range(12):
            with pytest.raises(RefusedError) as caught:
                again.rounds[at].advertise()
            assert caught.value.reason is (Reason.ANSWERED if at in asked else Reason.TOO_MANY_ROUNDS)
        return
    part = again.unmask(again.mask(again.share(again.advertise(rest)))).total
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
        inboxes = world.share(world.advertise())
        message = Masked.from_bytes(world.rounds[0].mask(inboxes[0], vectors[0]))
        masked.append((unpack(message.packed, 5, world.agreed.bits).astype(np.uint64), vectors[0]))
    modulus = world.agreed.ring.modulus
    (first, one), (second, two) = masked
    bare = bool(np.array_equal(first - second & np.uint64(modulus - 1), one - two & np.uint64(modulus - 1)))
    assert bare is off


def test_messages_of_an_earlier_round_are_worth_nothing_in_this_one() -> None:
    old = World.of(5)
    cohorts = old.advertise()
    inboxes = old.share(cohorts)
    lists = old.mask(inboxes)
    old.unmask(lists)
    new = World.of(5, round=2, replay_guards=old.replay_guards)
    for exchange, step in enumerate((new.advertise, new.share, new.mask)):
        for message in old.sent[exchange]:
            refused = new.server.receive(message)
            assert refused is not None and refused.reason is Reason.OTHER_CONTEXT
        device = new.rounds[0]
        given: object
        if exchange == 0:
            given = step()  # type: ignore[call-arg]
            with pytest.raises(RefusedError) as caught:
                device.share(cohorts[0])
        elif exchange == 1:
            given = step(given)  # type: ignore[arg-type]
            with pytest.raises(RefusedError) as caught:
                device.mask(inboxes[0], new.vectors[0])
        else:
            given = step(given)  # type: ignore[arg-type]
            with pytest.raises(RefusedError) as caught:
                device.unmask(lists[0])
        assert caught.value.reason is Reason.OTHER_CONTEXT
    new.check(new.unmask(given))  # type: ignore[arg-type]
    assert Inbox.from_bytes(inboxes[0], 5).context != new.server._records.context


@pytest.mark.parametrize("off", [False, True])
def test_a_vector_of_an_earlier_round_in_this_one(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Somebody on the way says again what a device said in the first round, in its place, in the second.

    With rounds bound in, it is turned down. Without, of devices that draw the same secrets again, the server takes it
    in and opens a sum that is wrong, or the sum of a set of vectors that the sender of the message chose.
    """
    if off:
        monkeypatch.setattr(Agreed, "digest", property(lambda self: bytes(32)))
    worlds = []
    for number in (1, 2):
        draw = np.random.default_rng(number)
        vectors = [draw.integers(0, 1 << 10, 5, dtype=np.uint64) for _ in range(5)]
        worlds.append(World.of(5, round=number, secrets="the same again", vectors=vectors))
    old, new = worlds
    old.run()
    inboxes = new.share(new.advertise())
    if not off:
        refused = new.server.receive(old.sent[2][0])
        assert refused is not None and refused.reason is Reason.OTHER_CONTEXT
        return
    new.rounds[0].mask(inboxes[0], new.vectors[0])
    assert new.server.receive(old.sent[2][0]) is None
    opened = new.unmask(new.mask(inboxes, {0}))
    assert len(opened.survivors) == 5
    np.testing.assert_array_equal(opened.total, _modulo(new, new.sum(range(1, 5)) + old.vectors[0]))
