"""Requests that a device must turn down whatever else holds: cohorts of one, weak parameters, rounds asked again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from malice import cut
from pytest import MonkeyPatch
from secagg_cases import NOBODY, World, agree, identities

from fedrec.errors import SumError
from fedrec.secagg import keys
from fedrec.secagg.bits import unpack
from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.diary import DAY, Diary
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.floors import Floors
from fedrec.secagg.messages import Cohort, Inbox, Masked, Survivors, Unmask
from fedrec.secagg.parameters import Assumptions, Parameters
from fedrec.secagg.roster import Roster

LOW = Floors(cohort=2, survivors=2, assumptions=NOBODY)
HIGH = Floors(cohort=6, survivors=5)


def _with(world: World, floors: Floors, at: int) -> None:
    world.rounds[at] = DeviceRound(world.devices[at], world.roster, world.agreed, floors, world.diaries[at], now=0)


@pytest.mark.parametrize("floors", [LOW, HIGH])
def test_a_cohort_of_one_and_the_servers_friends(floors: Floors) -> None:
    """Three devices of which two tell the server all they know: the sum is the third one's vector."""
    world, target = World.of(3, floors=LOW), 1
    _with(world, floors, target)
    cohorts = world.advertise()
    if floors is HIGH:
        with pytest.raises(RefusedError) as caught:
            world.rounds[target].share(cohorts[target])
        assert caught.value.reason is Reason.SMALL_COHORT
        return
    opened = world.unmask(world.mask(world.share(cohorts)))
    bare = opened.total - world.vectors[0] - world.vectors[2] & np.uint64(world.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, world.vectors[target])


def test_nobody_makes_a_cohort_alone() -> None:
    world = World.of(3, floors=LOW)
    cohorts = world.advertise()
    shown = replace(Cohort.from_bytes(cohorts[0], 3), members=frozenset({0}), peers=(), threshold=1)
    with pytest.raises(RefusedError):
        world.rounds[0].share(shown.to_bytes())


@pytest.mark.parametrize("floors", [LOW, HIGH])
def test_a_sum_of_few_survivors(floors: Floors) -> None:
    world, target = World.of(6, floors=LOW, parameters=lambda size: Parameters(5, 3)), 1
    _with(world, floors, target)
    lists = world.mask(world.share(world.advertise()), {4, 5})
    if floors is HIGH:
        with pytest.raises(RefusedError) as caught:
            world.rounds[target].unmask(lists[target])
        assert caught.value.reason is Reason.FEW_SURVIVORS
    else:
        world.check(world.unmask(lists))


@pytest.mark.parametrize("off", [False, True])
def test_a_threshold_of_one_and_a_single_friend(off: bool, monkeypatch: MonkeyPatch) -> None:
    """With a threshold of one, one colluding neighbour holds all of the target's secrets."""
    if off:
        monkeypatch.setattr(Floors, "check_cohort", lambda self, size, degree, threshold: None)
    world = World.of(6, parameters=lambda size: Parameters(4, 1))
    cohorts = world.advertise()
    if not off:
        with pytest.raises(RefusedError) as caught:
            world.rounds[0].share(cohorts[0])
        assert caught.value.reason is Reason.WEAK_PARAMETERS
        return
    inboxes = world.share(cohorts)
    target, near = 0, world.server._records.neighbours[0]
    friend = near[0]
    world.rounds[friend].mask(inboxes[friend], world.vectors[friend])
    slot = world.server._records.neighbours[friend].index(target)
    held = world.rounds[friend]._held[slot]
    # A share of a polynomial of degree zero is the secret itself.
    for share, secret in ((held.own, "own"), (held.mask, "mask"), (held.gate, "gate")):
        assert share[1:] == getattr(world.rounds[target]._secrets, secret)


@pytest.mark.parametrize("parameters", [Parameters(4, 2), Parameters(10, 5), Parameters(2, 2), Parameters(11, 12)])
def test_parameters_below_the_floor_are_refused(parameters: Parameters) -> None:
    floors = Floors(cohort=5, survivors=3, assumptions=Assumptions(corrupt=0.3, dropout=0.0))
    with pytest.raises(RefusedError) as caught:
        floors.check_cohort(12, parameters.degree, parameters.threshold)
    assert caught.value.reason is Reason.WEAK_PARAMETERS
    floors.check_cohort(12, 11, 7)


@pytest.mark.parametrize("off", [False, True])
def test_two_sums_that_differ_by_one_device(off: bool) -> None:
    """The same round once with and once without the target; a device that remembers does not answer twice."""
    first = World.of(6)
    whole = first.run().total
    diaries = [Diary() for _ in range(6)] if off else first.diaries
    again = World.of(6, diaries=diaries, attempt=1, vectors=first.vectors)
    if not off:
        for device in again.rounds:
            with pytest.raises(RefusedError) as caught:
                device.advertise()
            assert caught.value.reason is Reason.ANSWERED
        return
    rest = again.unmask(again.mask(again.share(again.advertise(range(5))))).total
    np.testing.assert_array_equal(whole - rest & np.uint64(again.agreed.ring.modulus - 1), first.vectors[5])


def test_rounds_a_day_are_counted_even_if_the_clock_is_set_back() -> None:
    roster, floors, diary = World.of(3).roster, Floors(cohort=3, survivors=2, rounds_a_day=2), Diary()
    for number, now in ((1, 1000), (2, 500)):
        diary.check(agree(roster, round=number), floors, now)
        diary.masked(agree(roster, round=number), now)
    diary = Diary.from_bytes(diary.to_bytes())
    for now in (0, 600, 499 + DAY):
        with pytest.raises(RefusedError) as caught:
            diary.check(agree(roster, round=3), floors, now)
        assert caught.value.reason is Reason.TOO_MANY_ROUNDS
    diary.check(agree(roster, round=3), floors, 500 + DAY)


def test_attempts_of_one_round_are_counted() -> None:
    roster, diary = World.of(3).roster, Diary()
    floors = Floors(cohort=3, survivors=2, attempts=2)
    for attempt in (0, 3):
        diary.check(agree(roster, attempt=attempt), floors, 0)
        diary.masked(agree(roster, attempt=attempt), 0)
    for attempt, reason in ((3, Reason.ANSWERED), (1, Reason.ANSWERED), (4, Reason.TOO_MANY_ROUNDS)):
        with pytest.raises(RefusedError) as caught:
            diary.check(agree(roster, attempt=attempt), floors, 0)
        assert caught.value.reason is reason
    diary.check(agree(roster, round=2), floors, 0)


@pytest.mark.parametrize("off", [False, True])
def test_one_device_asked_for_both_secrets_of_a_peer(off: bool) -> None:
    """Two lists one after the other, to a device that was set back to an earlier state in between."""
    world = World.of(6)
    world.mask(world.share(world.advertise()))
    asked, peer = 0, 4
    slot = world.server._records.neighbours[asked].index(peer)
    before, held = world.rounds[asked].to_state(), world.rounds[asked]._held[slot]
    assert world.rounds[asked]._secrets is not None
    gate = world.rounds[asked]._secrets.gate

    def ask(device: DeviceRound, alive: set[int]) -> bytes:
        records = world.server._records
        receipts = []
        for neighbour in records.neighbours[asked]:
            if neighbour in alive:
                given = dict(zip(records.slots(neighbour, records.sharers), records.receipts[neighbour], strict=True))
                receipts.append(given[records.neighbours[neighbour].index(asked)])
        message = device.unmask(Survivors(records.view, 6, frozenset(alive), tuple(receipts)).to_bytes())
        answer = Unmask.from_bytes(message, 5)
        opened = cut(keys.open_gate(gate, world.devices[asked].public, answer.view, answer.sealed))
        return opened[sorted(answer.slots).index(slot)]

    assert ask(world.rounds[asked], set(range(6))) == held.own
    with pytest.raises(RefusedError) as caught:
        world.rounds[asked].unmask(b"")
    assert caught.value.reason is Reason.OUT_OF_TURN
    diary = world.diaries[asked]
    if off:
        # A device that forgets what it has answered.
        diary = Diary()
        diary.masked(world.agreed, 0)
    back = DeviceRound(world.devices[asked], world.roster, world.agreed, world.floors, diary, now=0).restore(before)
    if off:
        assert ask(back, set(range(6)) - {peer}) == held.mask
    else:
        with pytest.raises(RefusedError) as caught:
            ask(back, set(range(6)) - {peer})
        assert caught.value.reason is Reason.ANSWERED


def test_invented_devices_are_in_no_roster() -> None:
    """The server adds devices of its own: the roster is signed with a key that it does not hold."""
    key, true = identities(1, seed=50)[0], identities(3)
    roster = Roster.of(device.public for device in true)
    signed = roster.sign(key)
    assert Roster.verify(signed, key.public) == roster
    swollen = Roster.of([*roster.devices, *(device.public for device in identities(9, seed=51))])
    for forged in (swollen.to_bytes() + signed[-64:], swollen.sign(identities(1, seed=52)[0])):
        with pytest.raises(RefusedError) as caught:
            Roster.verify(forged, key.public)
        assert caught.value.reason is Reason.BAD_SIGNATURE
    # Nor can it agree on the forged one with a device that holds the true one.
    with pytest.raises(RefusedError) as caught:
        DeviceRound(true[0], roster, agree(swollen), LOW, Diary(), now=0)
    assert caught.value.reason is Reason.OTHER_CONTEXT


def test_off_invented_devices_make_a_sum_of_one() -> None:
    """With a roster that the server wrote itself, all but one device are its own, and every floor is met."""
    world = World.of(12, floors=Floors(cohort=12, survivors=10))
    opened = world.run()
    invented = world.sum(at for at in range(12) if at != 7)
    np.testing.assert_array_equal(opened.total - invented & np.uint64(world.agreed.ring.modulus - 1), world.vectors[7])


@pytest.mark.parametrize("off", [False, True])
def test_a_ring_that_overflows(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Six vectors at the bound in a ring with room for two: the sum comes out wrong, so no device agrees to it."""
    roster = World.of(6).roster
    right = agree(roster, bound=1.0, resolution=0.5)
    fields = {name: getattr(right, name) for name in ("run", "round", "question", "roster", "length", "rows")}
    if not off:
        with pytest.raises(SumError):
            Agreed(**fields, bound=1.0, resolution=0.5, bits=right.bits - 1)
        return
    monkeypatch.setattr(Agreed, "_check_ring", lambda self: None)
    narrow = Agreed(**fields, bound=1.0, resolution=0.5, bits=3)
    for agreed, fits in ((right, True), (narrow, False)):
        total = np.zeros(5, dtype=np.uint64)
        for _ in range(6):
            total = agreed.ring.add(total, agreed.ring.encode(np.ones(5), 0.5))
        assert bool(np.array_equal(agreed.ring.decode(total, 0.5), np.full(5, 6.0))) is fits


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
    new = World.of(5, round=2, diaries=old.diaries)
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
