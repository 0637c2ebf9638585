"""Requests that a device must turn down whatever else holds: cohorts of one, weak parameters, rounds asked again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from malice import Ledger, no_quorum
from pytest import MonkeyPatch
from secagg_cases import LENIENT, World, agree, complete, identities

from fedrec.errors import SumError
from fedrec.secagg import roster as roster_module
from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Unmask
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.secagg.server_messages import Cohort
from fedrec.secagg.thresholds import Thresholds

LOW = Thresholds(cohort=2, survivors=2, assumptions=LENIENT)
HIGH = Thresholds(cohort=6, survivors=5, assumptions=LENIENT)


def _with(world: World, thresholds: Thresholds, at: int) -> None:
    world.rounds[at] = DeviceRound(
        world.devices[at],
        world.roster,
        world.agreed,
        replace(thresholds, graph=complete(len(world.devices))),
        world.replay_guards[at],
        now=0,
    )


@pytest.mark.parametrize("thresholds", [LOW, HIGH])
def test_a_cohort_of_one_and_the_servers_friends(thresholds: Thresholds) -> None:
    """Three devices of which two tell the server all they know: the sum is the third one's vector."""
    world, target = World.of(3, thresholds=LOW), 1
    _with(world, thresholds, target)
    cohorts = world.advertise()
    if thresholds is HIGH:
        with pytest.raises(RefusedError) as caught:
            world.rounds[target].share(cohorts[target])
        assert caught.value.reason is Reason.SMALL_COHORT
        return
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(world.share(cohorts)))))
    bare = opened.total - world.vectors[0] - world.vectors[2] & np.uint64(world.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, world.vectors[target])


def test_nobody_makes_a_cohort_alone() -> None:
    world = World.of(3, thresholds=LOW)
    cohorts = world.advertise()
    shown = replace(Cohort.from_bytes(cohorts[0], 3), members=frozenset({0}), peers=(), threshold=1)
    with pytest.raises(RefusedError) as caught:
        world.rounds[0].share(shown.to_bytes())
    assert caught.value.reason is Reason.SMALL_COHORT


@pytest.mark.parametrize("thresholds", [LOW, HIGH])
def test_a_sum_of_few_survivors(thresholds: Thresholds) -> None:
    """Of six devices two are said to have dropped out, and three tell the server all they know: one vector is left."""
    target = 1
    for seed in range(100):
        # A round whose committee the target is not on, so that others can sign what it would refuse to sign.
        world = World.of(6, thresholds=LOW, seed=seed)
        _with(world, thresholds, target)
        views = world.views()
        if target not in world.server._records.committee and world.server._records.committee <= {0, 2, 3, 4, 5}:
            break
    certificates = world.confirm(world.mask(views, {4, 5}))
    if thresholds is HIGH:
        with pytest.raises(RefusedError) as caught:
            world.rounds[target].unmask(certificates[target])
        assert caught.value.reason is Reason.FEW_SURVIVORS
        return
    friends = world.sum({0, 2, 3})
    bare = world.unmask(certificates).total - friends & np.uint64(world.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, world.vectors[target])


@pytest.mark.parametrize("off", [False, True])
def test_floors_are_relative_to_those_who_are_asked(off: bool, monkeypatch: MonkeyPatch) -> None:
    """A part of twenty, all but one of whom tell the server all they know: floors that absolute numbers alone meet."""
    if off:
        monkeypatch.setattr(Assumptions, "floor", lambda self, size: 0)
    thresholds = Thresholds(cohort=10, survivors=10, assumptions=Assumptions(corrupt=0, dropout=0.1, colluding=0))
    world, target = World.of(20, thresholds=thresholds, server=Unguarded), 4
    # The threshold is above half the neighbours: half of the devices are not enough for it either.
    chosen = range(10) if not off else range(13)
    if not off:
        cohorts = world.advertise(chosen)
        for at in cohorts:
            with pytest.raises(RefusedError) as caught:
                world.rounds[at].share(cohorts[at])
            assert caught.value.reason is Reason.SMALL_COHORT
        return
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(world.share(world.advertise(chosen))))))
    friends = world.sum(set(chosen) - {target})
    bare = opened.total - friends & np.uint64(world.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, world.vectors[target])


class Unguarded(ServerRound):
    """Takes any cohort."""

    def close_advertise(self) -> dict[bytes, bytes]:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Thresholds, "check_cohort", lambda self, count, eligible: None)
            return super().close_advertise()


@pytest.mark.parametrize("off", [False, True])
def test_a_threshold_of_one_and_a_single_friend(off: bool, monkeypatch: MonkeyPatch) -> None:
    """With a threshold of one, one colluding neighbour holds all of the target's secrets."""
    weak = GraphParameters(4, 1)
    if not off:
        with pytest.raises(RefusedError) as caught:
            LOW.check_graph(6, weak)
        assert caught.value.reason is Reason.WEAK_PARAMETERS
        # Nor is what a server shows taken for it: a device computes its own.
        world = World.of(6)
        cohorts = world.advertise()
        shown = replace(Cohort.from_bytes(cohorts[0], 6), degree=4, threshold=1)
        with pytest.raises(RefusedError) as caught:
            world.rounds[0].share(shown.to_bytes())
        assert caught.value.reason is Reason.WEAK_PARAMETERS
        return
    monkeypatch.setattr(Thresholds, "check_graph", lambda self, size, graph: None)
    world = World.of(6, graph=weak)
    views = world.views()
    ledger = Ledger(world)
    ledger.load_population(views)
    target, near = 0, ledger.records.neighbours[0]
    friend = near[0]
    held = world.rounds[friend]._held[ledger.records.neighbours[friend].index(target)]
    # A share of a polynomial of degree zero is the secret itself.
    seeds = {name: getattr(held, name)[1:] for name in ("own", "mask")}
    assert all(seed == getattr(world.rounds[target]._secrets, name) for name, seed in seeds.items())
    np.testing.assert_array_equal(ledger.bare(target, seeds["own"], seeds["mask"]), world.vectors[target])


@pytest.mark.parametrize(
    "parameters", [GraphParameters(4, 2), GraphParameters(10, 5), GraphParameters(2, 2), GraphParameters(11, 12)]
)
def test_parameters_below_the_floor_are_refused(parameters: GraphParameters) -> None:
    thresholds = Thresholds(cohort=5, survivors=3, assumptions=Assumptions(corrupt=0.3, dropout=0.0))
    with pytest.raises(RefusedError) as caught:
        thresholds.check_graph(12, parameters)
    assert caught.value.reason is Reason.WEAK_PARAMETERS
    thresholds.check_graph(12, GraphParameters(11, 7))


@pytest.mark.parametrize("off", [False, True])
def test_one_device_asked_for_both_secrets_of_a_peer(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Two lists one after the other, to a device that was set back to an earlier state in between.

    The server has a quorum for both lists here, which takes colluding devices: what holds is that a device that has
    answered never answers again.
    """
    no_quorum(monkeypatch)
    world = World.of(6)
    views = world.views()
    ledger = Ledger(world)
    ledger.load_population(views)
    asked, peer = 0, 4
    slot = ledger.records.neighbours[asked].index(peer)
    before, held = world.rounds[asked].to_state(), world.rounds[asked]._held[slot]

    def ask(device: DeviceRound, alive: set[int]) -> bytes:
        answer = Unmask.from_bytes(device.unmask(ledger.certificate(asked, alive)), 5)
        return answer.shares[sorted(answer.slots).index(slot)]

    assert ask(world.rounds[asked], set(range(6))) == held.own
    with pytest.raises(RefusedError) as caught:
        world.rounds[asked].unmask(b"")
    assert caught.value.reason is Reason.OUT_OF_TURN
    replay_guard = world.replay_guards[asked]
    if off:
        # A device that forgets what it has answered.
        replay_guard = ReplayGuard()
        replay_guard.masked(world.agreed, 0)
    back = DeviceRound(world.devices[asked], world.roster, world.agreed, world.thresholds, replay_guard, now=0).restore(
        before
    )
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
        DeviceRound(true[0], roster, agree(swollen), LOW, ReplayGuard(), now=0)
    assert caught.value.reason is Reason.OTHER_CONTEXT


@pytest.mark.parametrize("off", [False, True])
def test_invented_devices_make_a_sum_of_one(off: bool, monkeypatch: MonkeyPatch) -> None:
    """The server lists one true device among eleven of its own, and every floor is met."""
    key, server_key = identities(2, seed=50)
    true, own = identities(1, seed=7)[0], identities(11, seed=51)
    forged = Roster.of(device.public for device in (true, *own)).sign(server_key)
    if not off:
        with pytest.raises(RefusedError) as caught:
            Roster.verify(forged, key.public)
        assert caught.value.reason is Reason.BAD_SIGNATURE
        return
    monkeypatch.setattr(roster_module, "verify", lambda *arguments: None)
    roster = Roster.verify(forged, key.public)
    devices = sorted((true, *own), key=lambda device: device.public)
    world, target = World.of(12, devices=devices, thresholds=Thresholds(cohort=12, survivors=10)), devices.index(true)
    assert world.roster == roster
    invented = world.sum(at for at in range(12) if at != target)
    bare = world.run().total - invented & np.uint64(world.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, world.vectors[target])


@pytest.mark.parametrize("off", [False, True])
def test_a_ring_that_overflows(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Six vectors at the bound in a ring with room for two: the sum comes out wrong, so no device agrees to it."""
    roster = World.of(6).roster
    right = agree(roster, bound=1.0, resolution=0.5)
    fields = {name: getattr(right, name) for name in ("run", "round", "request", "roster", "length", "rows", "seed")}
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
