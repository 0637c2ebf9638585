"""A server that tells different devices different things about who survived.

Each test carries the attack through to a device's bare vector, or to a sum over fewer devices than allowed, with one
defence switched off, and shows with the defence on that the secrets it needs cannot be opened.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from malice import Harvest, Ledger, harvest, no_quorum, spread, with_view
from pytest import MonkeyPatch
from secagg_cases import LENIENT, World

from fedrec.secagg import keys
from fedrec.secagg.assignment import Assignment
from fedrec.secagg.committee import committee_size
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import RECEIPT_BYTES
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose
from fedrec.secagg.server_messages import Certificate, Survivors
from fedrec.secagg.shamir import combine
from fedrec.secagg.thresholds import Thresholds

DEGREE = 10
FLOORS = Thresholds(cohort=20, survivors=15, assumptions=Assumptions(corrupt=0, colluding=0))


def _masked(count: int, threshold: int, thresholds: Thresholds = FLOORS) -> Ledger:
    world = World.of(count, thresholds=thresholds, graph=GraphParameters(DEGREE, threshold))
    views = world.views()
    ledger = Ledger(world)
    ledger.load_population(views)
    return ledger


def _half_and_half(ledger: Ledger, target: int) -> dict[int, set[int]]:
    """Half of the target's neighbours hear that it survived, half that it dropped out."""
    everybody = set(range(len(ledger.world.devices)))
    deaf = set(ledger.records.neighbours[target][: DEGREE // 2])
    return {at: everybody - {target} if at in deaf else everybody for at in everybody}


@pytest.fixture
def any_threshold(monkeypatch: MonkeyPatch) -> None:
    """Devices accept a threshold of half their neighbours."""
    monkeypatch.setattr(Thresholds, "check_graph", lambda self, size, graph: None)


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.usefixtures("any_threshold")
def test_half_of_a_devices_neighbours_hear_that_it_dropped_out(off: bool, monkeypatch: MonkeyPatch) -> None:
    """With a threshold of half, both its secrets open, if devices do not insist on one list."""
    if off:
        no_quorum(monkeypatch)
    ledger, target = _masked(24, threshold=5), 3
    own, lost = harvest(ledger, _half_and_half(ledger, target))
    if not off:
        assert min(len(own.get(target, {})), len(lost.get(target, {}))) == 0
        return
    own_seed, seed = combine(own[target], 5), combine(lost[target], 5)
    np.testing.assert_array_equal(ledger.bare(target, own_seed, seed), ledger.world.vectors[target])


def test_the_second_line_is_a_threshold_above_half(monkeypatch: MonkeyPatch) -> None:
    """Even if two lists were signed, no device's two secrets open both."""
    with pytest.raises(RefusedError) as caught:
        FLOORS.check_graph(24, GraphParameters(DEGREE, 5))
    assert caught.value.reason is Reason.WEAK_PARAMETERS
    no_quorum(monkeypatch)
    ledger, target = _masked(24, threshold=6), 3
    own, lost = harvest(ledger, _half_and_half(ledger, target))
    assert 0 < min(len(own[target]), len(lost[target])) < 6
    # However the ten neighbours are divided, there are not six on both sides.
    assert not [split for split in range(DEGREE + 1) if split >= 6 and DEGREE - split >= 6]


def _isolate(ledger: Ledger, target: int, threshold: int) -> dict[int, set[int]]:
    """Every neighbour of the target hears that it survived, as the target did; *its* neighbours hear it did not."""
    everybody = set(range(len(ledger.world.devices)))
    near = ledger.records.neighbours
    around = near[target]
    wanted = {at: list(near[at]) for at in around}
    dropped = spread(wanted, threshold, capacity=DEGREE - threshold)
    return {at: everybody - dropped.get(at, set()) for at in everybody}


@pytest.mark.parametrize("off", [False, True])
def test_a_device_is_cut_off_from_all_its_neighbours(off: bool, monkeypatch: MonkeyPatch) -> None:
    """The threshold is above half, every list passes every floor, and without one list a bare vector comes out."""
    if off:
        no_quorum(monkeypatch)
    ledger = _masked(40, threshold=6)
    target = 11
    own, lost = harvest(ledger, _isolate(ledger, target, 6))
    around = ledger.records.neighbours[target]
    if not off:
        assert not [at for at in around if len(lost.get(at, {})) >= 6]
        assert not any(lost.values())
        return
    seeds = {at: combine(lost[at], 6) for at in around}
    bare = ledger.strip(target, ledger.vector(target), combine(own[target], 6), seeds)
    np.testing.assert_array_equal(bare, ledger.world.vectors[target])


FRIEND, TARGET, DROPPED, REST = 1, 0, {2, 3, 4, 5, 6}, {7, 8, 9, 10, 11}
SHOWN = {TARGET, FRIEND, *DROPPED}


def _two_views() -> Ledger:
    """The target hears that five devices do not go on, and masks with the others only. They are told that it is in
    their view all the same, and that everybody whom it masked with has dropped out."""
    for seed in range(100):
        # A round in which the six that are shown the list make a quorum: it exists whatever one thinks of views.
        world = World.of(12, seed=seed, thresholds=Thresholds(cohort=12, survivors=7, assumptions=LENIENT))
        views = world.views()
        if len(world.server._records.committee & {FRIEND, *REST}) >= world.server._records.assignment.quorum:
            break
    ledger = Ledger(world)
    ledger.load_population(with_view(world, views, TARGET, SHOWN))
    return ledger


@pytest.mark.parametrize("off", [False, True])
def test_two_views_and_one_friend(off: bool, monkeypatch: MonkeyPatch) -> None:
    """The friend's shares and those of five that the target has no masks with open all that is on its vector.

    There is one list, signed by a quorum: receipts are what stops this.
    """
    if off:
        monkeypatch.setattr(keys, "same", lambda a, b: True)
    ledger = _two_views()
    world, rounds = ledger.world, ledger.world.rounds
    alive = frozenset({TARGET, FRIEND, *REST})
    signatures = ledger.signatures(dict.fromkeys({FRIEND, *REST}, alive))[alive]

    def certificate(ledger: Ledger, at: int, shown: Iterable[int]) -> bytes:
        return _with_any_receipts(ledger, at, frozenset(shown), signatures)

    own, lost = harvest(ledger, dict.fromkeys(REST, alive), certificate=certificate)
    if not off:
        assert TARGET not in own and TARGET not in lost
        return
    # What the friend holds it gives of its own accord.
    for owner, into, name in [(TARGET, own, "own"), *((at, lost, "mask") for at in DROPPED)]:
        slot = ledger.records.neighbours[FRIEND].index(owner)
        share = getattr(rounds[FRIEND]._held[slot], name)
        into.setdefault(owner, {})[ledger.graph.back(slot) + 1] = share
    seeds = {at: combine(lost[at], 6) for at in DROPPED}
    friend = rounds[FRIEND]._secrets
    assert friend is not None
    seeds[FRIEND] = friend.mask
    bare = ledger.strip(TARGET, ledger.vector(TARGET), combine(own[TARGET], 6), seeds)
    np.testing.assert_array_equal(bare, world.vectors[TARGET])


def _with_any_receipts(ledger: Ledger, at: int, shown: frozenset[int], signatures: dict[int, bytes]) -> bytes:
    """A list of survivors; where the target gave no receipt there is one of the server's own making."""
    receipts = []
    for neighbour in ledger.records.neighbours[at]:
        if neighbour in shown:
            seen = SHOWN if neighbour == TARGET else set(range(12))
            given = [other for other in ledger.records.neighbours[neighbour] if other in seen]
            found = dict(zip(given, ledger.masked[neighbour].receipts, strict=True)).get(at, bytes(RECEIPT_BYTES))
            receipts.append(found)
    signers = sorted(signatures)[: ledger.records.assignment.quorum]
    signed = frozenset(signers), tuple(signatures[place] for place in signers)
    return Certificate(ledger.masked[at].view, 12, shown, *signed, tuple(receipts)).to_bytes()


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize(("size", "every"), [(36, 6), (90, 4), pytest.param(270, 3, marks=pytest.mark.slow)])
def test_sums_below_the_floor_by_lists_that_omit_others_everywhere(
    size: int, every: int, off: bool, monkeypatch: MonkeyPatch
) -> None:
    """Each list omits fewer devices than may be missing, but others around each device; together they omit more.

    Without one list, exact sums over 30 of 36, 67 of 90, 180 of 270 open; with one, nothing does.
    """
    if off:
        no_quorum(monkeypatch)
    thresholds = Thresholds(cohort=20, survivors=15)
    world = World.of(size, length=2, thresholds=thresholds, graph=choose(size))
    views = world.views()
    ledger = Ledger(world)
    ledger.load_population(views)
    near, order = ledger.records.neighbours, ledger.graph.order.tolist()
    omitted = set(order[::every])
    kept = sorted(set(range(size)) - omitted)
    lists = {at: set(range(size)) - (omitted & set(near[at])) for at in kept}
    floor = thresholds.least_sum(size)
    assert min(map(len, lists.values())) >= floor > len(kept)
    own, lost = harvest(ledger, lists)
    if not off:
        assert not own and not lost
        return
    total = np.zeros(2, dtype=np.uint64)
    for at in kept:
        seeds = {other: combine(lost[other], ledger.threshold) for other in set(near[at]) & omitted}
        total += ledger.strip(at, ledger.vector(at), combine(own[at], ledger.threshold), seeds)
    np.testing.assert_array_equal(total & np.uint64(world.agreed.ring.modulus - 1), world.sum(kept))


def test_a_device_signs_one_list_and_helps_with_no_other() -> None:
    ledger = _masked(24, threshold=6)
    everybody = frozenset(range(24))
    one, other = everybody, everybody - {5}
    signatures = ledger.signatures(dict.fromkeys(range(24), one))[one]
    assert len(signatures) == len(ledger.records.committee)
    assert not ledger.signatures(dict.fromkeys(range(24), other))
    # Signatures for one list do not stand for another, neither with those who signed nor with anybody else.
    for at in (min(set(signatures) - {5}), min(everybody - ledger.records.committee - {5})):
        with pytest.raises(RefusedError) as caught:
            ledger.world.rounds[at].unmask(ledger.certificate(at, other, signatures))
        assert caught.value.reason is Reason.BAD_SIGNATURE


def test_nobody_off_the_committee_signs() -> None:
    ledger = _masked(24, threshold=6)
    free = min(set(range(24)) - ledger.records.committee)
    before = ledger.world.rounds[free]
    with pytest.raises(RefusedError) as caught:
        before.confirm(b"")
    assert caught.value.reason is Reason.NOT_MEANT


@pytest.mark.parametrize("size", [3, 7, 20, 60, 100, 300])
def test_two_lists_never_both_have_a_quorum(size: int) -> None:
    """However honest members are divided between two lists, and with every colluding one signing both."""
    wanted = Assumptions()
    found = committee_size(size, wanted)
    most = 2 * found.quorum - found.members - 1
    honest = found.members - most
    for first in range(honest + 1):
        assert min(first, honest - first) + most < found.quorum


@pytest.mark.parametrize(("size", "degree", "least"), [(10, 4, 1), (12, 6, 2), (13, 6, 2), (12, 8, 3)])
@pytest.mark.parametrize("colluding", [0, 1, 2, 3])
def test_no_accepted_list_falls_apart(size: int, degree: int, least: int, colluding: int) -> None:
    """The claim behind `half_floor`, for every list and every set of colluding devices that there is.

    Wherever no two stretches of k/2 positions without one in common hold ``least`` colluding devices each, the honest
    devices of a list with ``least`` in every stretch hang together.
    """
    half, tried = degree // 2, 0
    stretches = [sum(1 << (first + step) % size for step in range(half)) for first in range(size)]
    near = [sum(1 << (at + step) % size for step in range(-half, half + 1)) for at in range(size)]
    for bad in itertools.combinations(range(size), colluding):
        corrupt = sum(1 << at for at in bad)
        full = [stretch for stretch in stretches if (stretch & corrupt).bit_count() >= least]
        if any(not one & other for one, other in itertools.combinations(full, 2)):
            continue
        for listed in range(1, 1 << size):
            if any((stretch & listed).bit_count() < least for stretch in stretches):
                continue
            honest = listed & ~corrupt
            reached = honest & -honest
            while True:
                more = reached
                for at in range(size):
                    if reached >> at & 1:
                        more |= near[at] & honest
                if more == reached:
                    break
                reached = more
            tried += 1
            assert reached == honest
    assert tried or colluding >= 2 * least


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.usefixtures("any_threshold")
def test_everybody_is_left_out_between_a_few_devices_and_the_rest(off: bool, monkeypatch: MonkeyPatch) -> None:
    """One list for all, above the floor, and four friends among those left out: the sum over eight comes out alone.

    The friends' shares make up for the neighbours that the eight lack.  Devices refuse a list with a gap on the ring.
    """
    if off:
        monkeypatch.setattr(Assignment, "check_halves", lambda self, survivors: None)
    thresholds = Thresholds(cohort=20, survivors=15, assumptions=Assumptions(corrupt=0, dropout=0.2, security=4))
    world = World.of(40, thresholds=thresholds, graph=GraphParameters(6, 4))
    views = world.views()
    ledger = Ledger(world)
    ledger.load_population(views)
    ring = ledger.graph.order.tolist()
    few, omitted = ring[10:18], set(ring[7:10] + ring[18:21])
    friends = ring[7], ring[9], ring[18], ring[20]
    shown = frozenset(range(40)) - omitted
    assert len(shown) >= thresholds.least_sum(40)
    own, lost = harvest(ledger, dict.fromkeys(shown, shown))
    if not off:
        assert not own and not lost
        signer = min(shown & ledger.records.committee)
        with pytest.raises(RefusedError) as caught:
            world.rounds[signer].confirm(Survivors(ledger.masked[signer].view, 40, shown).to_bytes())
        assert caught.value.reason is Reason.GAP
        return
    for friend in friends:
        for slot, held in world.rounds[friend]._held.items():
            owner = ledger.records.neighbours[friend][slot]
            into, share = (own, held.own) if owner in shown else (lost, held.mask)
            into.setdefault(owner, {})[ledger.graph.back(slot) + 1] = share
    total = np.zeros(5, dtype=np.uint64)
    for at in few:
        near = set(ledger.records.neighbours[at]) & omitted
        seeds = {other: _seed(ledger, other, lost, friends) for other in near}
        total += ledger.strip(at, ledger.vector(at), combine(own[at], 4), seeds)
    np.testing.assert_array_equal(total & np.uint64(world.agreed.ring.modulus - 1), world.sum(few))


def _seed(ledger: Ledger, place: int, lost: Harvest, friends: tuple[int, ...]) -> bytes:
    """Of a mask key: by shares, or a friend's own."""
    secrets = ledger.world.rounds[place]._secrets
    assert secrets is not None
    return secrets.mask if place in friends else combine(lost[place], ledger.threshold)
