"""A server that tells different devices different things about who survived.

Each test carries the attack through to a device's bare vector with one defence switched off, and shows with the
defence on that the secrets it needs cannot be opened.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from malice import Ledger, harvest, no_gates, spread
from pytest import MonkeyPatch
from secagg_cases import NOBODY, World

from fedrec.secagg import keys
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import RECEIPT_BYTES, Inbox, Survivors
from fedrec.secagg.parameters import Assumptions, GraphParameters, guarantee, least_sum
from fedrec.secagg.shamir import combine
from fedrec.secagg.thresholds import Thresholds

DEGREE = 10
FLOORS = Thresholds(cohort=20, survivors=15, assumptions=NOBODY)


def _masked(count: int, threshold: int) -> Ledger:
    world = World.of(count, thresholds=FLOORS, parameters=lambda size: GraphParameters(DEGREE, threshold))
    inboxes = world.share(world.advertise())
    ledger = Ledger(world)
    ledger.load_population(inboxes)
    return ledger


def _half_and_half(ledger: Ledger, target: int) -> dict[int, set[int]]:
    """Half of the target's neighbours hear that it survived, half that it dropped out."""
    everybody = set(range(len(ledger.world.devices)))
    deaf = set(ledger.records.neighbours[target][: DEGREE // 2])
    return {at: everybody - {target} if at in deaf else everybody for at in everybody}


def test_off_a_threshold_of_half_lets_both_secrets_of_a_device_be_opened(monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(Thresholds, "check_cohort", lambda self, size, degree, threshold: None)
    ledger, target = _masked(24, threshold=5), 3
    own, lost = harvest(ledger, _half_and_half(ledger, target), gates=True)
    own_seed, seed = combine(own[target], 5), combine(lost[target], 5)
    np.testing.assert_array_equal(ledger.bare(target, own_seed, seed), ledger.world.vectors[target])


def test_on_a_device_refuses_such_a_threshold_and_a_higher_one_opens_at_most_one_secret() -> None:
    with pytest.raises(RefusedError) as caught:
        _masked(24, threshold=5)
    assert caught.value.reason is Reason.WEAK_PARAMETERS
    ledger, target = _masked(24, threshold=6), 3
    own, lost = harvest(ledger, _half_and_half(ledger, target), gates=True)
    assert min(len(own[target]), len(lost[target])) < 6
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


def test_off_without_gates_a_device_is_cut_off_from_all_its_neighbours(monkeypatch: MonkeyPatch) -> None:
    """The threshold is above half, every list passes every floor, and still one bare vector comes out."""
    no_gates(monkeypatch)
    ledger = _masked(40, threshold=6)
    target = 11
    own, lost = harvest(ledger, _isolate(ledger, target, 6), gates=False)
    seeds = {at: combine(lost[at], 6) for at in ledger.records.neighbours[target]}
    bare = ledger.strip(target, ledger.vector(target), combine(own[target], 6), seeds)
    np.testing.assert_array_equal(bare, ledger.world.vectors[target])


def test_on_with_gates_the_same_lists_open_nothing_of_the_target() -> None:
    ledger = _masked(40, threshold=6)
    target = 11
    own, lost = harvest(ledger, _isolate(ledger, target, 6), gates=True)
    assert len(own.get(target, {})) < 6
    # And no device has both: its own answer readable, and its mask key opened.
    opened = {at for at, shares in lost.items() if len(shares) >= 6}
    assert not opened & {at for at, shares in own.items() if len(shares) >= 6}


FRIEND, TARGET, DROPPED, REST = 1, 0, {2, 3, 4, 5, 6}, {7, 8, 9, 10, 11}


def _two_views() -> Ledger:
    """The target hears that five devices never shared, and masks with the others only. They are told that it is in
    their view all the same, and that everybody else has dropped out."""
    thresholds = Thresholds(cohort=12, survivors=7, assumptions=NOBODY)
    world = World.of(12, thresholds=thresholds, parameters=lambda size: GraphParameters(11, 6))
    inboxes = world.share(world.advertise())
    ledger = Ledger(world)
    shown = frozenset({TARGET, FRIEND, *DROPPED})
    read = Inbox.from_bytes(inboxes[TARGET], 12)
    near = ledger.records.neighbours[TARGET]
    boxes = tuple(box for slot, box in enumerate(read.boxes) if near[slot] in shown)
    inboxes[TARGET] = replace(read, sharers=shown, boxes=boxes).to_bytes()
    ledger.load_population(inboxes)
    return ledger


def test_on_and_off_two_views_and_one_friend(monkeypatch: MonkeyPatch) -> None:
    """The friend's shares and those of the five that the target has no masks with open all that is on its vector."""
    ledger = _two_views()
    world, rounds = ledger.world, ledger.world.rounds
    everybody, alive = set(range(12)), {TARGET, FRIEND, *REST}
    with pytest.raises(RefusedError) as caught:
        rounds[7].unmask(_list_with_any_receipts(ledger, 7, alive))
    assert caught.value.reason is Reason.BAD_RECEIPT

    monkeypatch.setattr(keys, "same", lambda a, b: True)
    lists = dict.fromkeys(REST, alive) | dict.fromkeys(DROPPED, everybody)
    own, lost = harvest(ledger, lists, gates=True, survivors=_list_with_any_receipts)
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


def _list_with_any_receipts(ledger: Ledger, at: int, alive: Iterable[int]) -> bytes:
    """A list of survivors; where the target gave no receipt there is one of the server's own making."""
    shown, receipts = frozenset(alive), []
    for neighbour in ledger.records.neighbours[at]:
        if neighbour in shown:
            seen = {TARGET, FRIEND, *DROPPED} if neighbour == TARGET else set(range(12))
            given = [other for other in ledger.records.neighbours[neighbour] if other in seen]
            found = dict(zip(given, ledger.masked[neighbour].receipts, strict=True)).get(at, bytes(RECEIPT_BYTES))
            receipts.append(found)
    return Survivors(ledger.masked[at].view, 12, shown, tuple(receipts)).to_bytes()


@pytest.mark.parametrize(("size", "degree", "threshold"), [(9, 4, 3), (12, 4, 3), (13, 6, 4), (14, 6, 5), (8, 7, 4)])
def test_no_two_sums_can_be_opened_and_each_is_large(size: int, degree: int, threshold: int) -> None:
    """The claim behind `two_lists` and `least_sum`, for every set of devices there is.

    A set can be opened only if each of its members has at least ``threshold`` others of it as neighbours: those that
    give the shares of its own mask have open gates, so their mask keys stay closed, so they must be in the sum.
    """
    near = _ring(size, degree)
    sets = np.arange(1, 1 << size, dtype=np.int64)
    good = np.ones(len(sets), dtype=bool)
    for at in range(size):
        count = sum((sets >> other) & 1 for other in near[at])
        good &= ((sets >> at) & 1 == 0) | (count >= threshold)
    openable = sets[good]
    assert len(openable)
    smallest = min(int(found).bit_count() for found in openable)
    assert smallest >= least_sum(size, degree, threshold)
    # Any two of them share a device: no device is in two disjoint sums, and there are none to subtract.
    assert not any(((openable & small) == 0).any() for small in openable if int(small).bit_count() <= size // 2)


@pytest.mark.parametrize(("size", "degree", "threshold", "corrupt"), [(12, 6, 5, 1), (12, 6, 5, 2), (11, 4, 4, 1)])
def test_the_same_with_colluding_neighbours(size: int, degree: int, threshold: int, corrupt: int) -> None:
    """Corrupt devices give both kinds of shares; wherever no half neighbourhood has threshold - degree / 2 of them."""
    near = _ring(size, degree)
    half, tried = degree // 2, 0
    for bad in itertools.combinations(range(size), corrupt):
        windows = [sum((first + step) % size in bad for step in range(half)) for first in range(size)]
        if max(windows) >= threshold - half:
            continue
        tried += 1
        sets = np.array([found for found in range(1, 1 << size) if not any(found >> at & 1 for at in bad)])
        good = np.ones(len(sets), dtype=bool)
        for at in range(size):
            count = sum((sets >> other) & 1 for other in near[at]) + sum(other in bad for other in near[at])
            good &= ((sets >> at) & 1 == 0) | (count >= threshold)
        openable = sets[good]
        assert not any(((openable & small) == 0).any() for small in openable if int(small).bit_count() <= size // 2)
        most = max(sum(other in bad for other in near[at]) for at in range(size))
        assert min(int(found).bit_count() for found in openable) >= least_sum(size, degree, threshold, most)
    assert tried


def _ring(size: int, degree: int) -> list[list[int]]:
    if degree == size - 1:
        return [[other for other in range(size) if other != at] for at in range(size)]
    return [[(at + step) % size for step in range(-degree // 2, degree // 2 + 1) if step] for at in range(size)]


def test_what_the_default_parameters_give_against_two_lists() -> None:
    """No colluding device: nothing can happen at all.  A tenth of them: no promise, it takes more neighbours."""
    alone = guarantee(1000, 52, 28, Assumptions())
    assert alone.two_lists == float("inf")
    assert guarantee(1000, 52, 28, Assumptions(colluding=0.1)).two_lists == 0
    assert guarantee(1000, 132, 97, Assumptions(colluding=0.1)).two_lists >= 40
