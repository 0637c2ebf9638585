"""The protocol from end to end: exact sums, dropouts at every exchange, bad messages, and rounds that fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from secagg_cases import NOBODY, World, identities

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg.bits import unpack
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.messages import Advertise, Inbox, Masked, Shares, Survivors, Unmask
from fedrec.secagg.parameters import GraphParameters
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.secagg.thresholds import Thresholds


@pytest.mark.parametrize("count", [3, 4, 7, 12])
def test_everybody_stays(count: int) -> None:
    world = World.of(count)
    opened = world.run()
    assert opened.survivors == world.roster.devices
    assert opened.suspects == ()
    world.check(opened)
    assert np.any(opened.total)


def test_a_sparse_ring_gives_the_exact_sum_with_dropouts_at_every_exchange() -> None:
    world = World.of(
        40, thresholds=Thresholds(cohort=40, survivors=20), parameters=lambda size: GraphParameters(20, 11)
    )
    opened = world.run({1, 7}, {2, 30}, {3, 39})
    assert len(opened.survivors) == 36
    world.check(opened)


def test_a_wide_ring_and_a_narrow_one() -> None:
    wide = World.of(5, bound=1e6, resolution=2.0**-25)
    assert wide.agreed.bits > 32
    wide.check(wide.run((), {1}))
    narrow = World.of(5, bound=1.0, resolution=1.0, rows=5)
    assert narrow.agreed.bits == 4
    narrow.check(narrow.run((), {1}))


def test_a_masked_vector_says_nothing_of_the_vector() -> None:
    """All-zero vectors: what leaves must be spread over the ring, and differ from device to device."""
    length = 4096
    world = World.of(5, length=length, vectors=[np.zeros(length, dtype=np.uint64)] * 5, bound=1.0, resolution=2.0**-4)
    inboxes = world.share(world.advertise())
    masked = [
        unpack(
            Masked.from_bytes(world.rounds[at].mask(inboxes[at], world.vectors[at])).packed, length, world.agreed.bits
        )
        for at in range(5)
    ]
    cells = world.agreed.ring.modulus
    for part in masked:
        counts = np.bincount(part.astype(np.int64), minlength=cells)
        expected = length / cells
        # Chi-square with cells - 1 degrees of freedom: six standard deviations.
        assert ((counts - expected) ** 2 / expected).sum() < cells - 1 + 6 * np.sqrt(2 * (cells - 1))
    assert len({part.tobytes() for part in masked}) == 5


def test_floats_travel_through_the_ring() -> None:
    world = World.of(6, length=3)
    values = np.random.default_rng(0).uniform(-4, 4, (6, 3))
    ring, step = world.agreed.ring, world.agreed.resolution
    world.vectors = [ring.encode(row, step) for row in values]
    opened = world.run((), {2})
    kept = values[[0, 1, 3, 4, 5]].sum(axis=0)
    assert np.abs(ring.decode(opened.total, step) - kept).max() <= 5 * step / 2


def test_whoever_shares_late_is_out_and_the_rest_goes_on() -> None:
    world = World.of(6)
    cohorts = world.advertise()
    late = world.rounds[4].share(cohorts[4])
    inboxes = world.share(cohorts, {4})
    refused = world.server.receive(late)
    assert refused is not None and refused.reason is Reason.OUT_OF_TURN
    opened = world.unmask(world.mask(inboxes))
    assert world.roster.devices[4] not in opened.survivors
    world.check(opened)


def test_bad_messages_are_named_and_change_nothing() -> None:
    world = World.of(6)
    stranger = World.of(6, seed=9)
    first = world.rounds[0].advertise()
    for message, reason in [
        (b"", Reason.MALFORMED),
        (b"\x01\x63", Reason.MALFORMED),
        (first[:-1], Reason.MALFORMED),
        (first + b"\0", Reason.MALFORMED),
        (first[:40] + bytes([first[40] ^ 1]) + first[41:], Reason.BAD_SIGNATURE),
        (first[:34] + b"\0\0\0\x63" + first[38:], Reason.STRANGER),
        (stranger.rounds[0].advertise(), Reason.BAD_SIGNATURE),
    ]:
        refused = world.server.receive(message)
        assert refused is not None and refused.reason is reason and refused.device is None
    assert world.server.receive(first) is None
    again = world.server.receive(first)
    assert again is not None and (again.reason, again.device) == (Reason.DUPLICATE, world.roster.devices[0])
    cohorts = world.advertise(range(1, 6))
    world.check(world.unmask(world.mask(world.share(cohorts))))


def test_keys_of_small_order_are_turned_down() -> None:
    world = World.of(4)
    advert = Advertise.from_bytes(world.rounds[0].advertise())
    bad = replace(advert, mask_key=bytes(32)).signed(world.devices[0]).to_bytes()
    refused = world.server.receive(bad)
    assert refused is not None and refused.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        (({0, 1, 2, 3}, (), ()), Reason.FEW_SURVIVORS),
        (((), {0, 1, 2, 3}, ()), Reason.FEW_SURVIVORS),
        (((), {0, 1}, {2, 3}), Reason.SECRET_LOST),
    ],
)
def test_too_few_left_is_a_named_abort(gone: tuple[set[int], ...], reason: Reason) -> None:
    world = World.of(6, thresholds=Thresholds(cohort=4, survivors=4))
    with pytest.raises(RoundAbortedError) as caught:
        world.run(*gone)
    assert caught.value.reason is reason
    assert reason.value in str(caught.value)


def test_a_cohort_below_the_servers_floor_is_a_named_abort() -> None:
    world = World.of(6, thresholds=Thresholds(cohort=5, survivors=3))
    with pytest.raises(RoundAbortedError) as caught:
        world.advertise([0, 1, 2, 3])
    assert caught.value.reason is Reason.SMALL_COHORT
    with pytest.raises(RefusedError):
        world.server.close_share()


def test_a_round_that_is_given_up_costs_no_device_its_next_attempt_or_round() -> None:
    world = World.of(6, thresholds=Thresholds(cohort=4, survivors=4))
    with pytest.raises(RoundAbortedError):
        world.run((), {0, 1}, {2, 3, 4, 5})
    for again in ({"attempt": 1, "round": 1}, {"round": 2}):
        # Those that were asked to help to open round 1 did not: nobody has answered it.
        after = World.of(6, replay_guards=world.replay_guards, **again)
        after.check(after.run())
        with pytest.raises(RefusedError) as caught:
            World.of(6, replay_guards=world.replay_guards, **again).run()
        assert caught.value.reason is Reason.ANSWERED


def _lie_in_share(world: World, at: int, message: bytes, *, gate: bool) -> bytes:
    answer = Unmask.from_bytes(message, world.server._graph().degree)
    if gate:
        gates = tuple(bytes(32) for _ in answer.gates)
        return replace(answer, gates=gates).signed(world.devices[at]).to_bytes()
    return replace(answer, sealed=bytes(len(answer.sealed))).signed(world.devices[at]).to_bytes()


@pytest.mark.parametrize("gate", [True, False])
def test_a_device_that_lies_in_its_answer_is_found_out_and_the_sum_is_right(gate: bool) -> None:
    world = World.of(8)
    lists = world.mask(world.share(world.advertise()), {6})
    for at, message in lists.items():
        answer = world.rounds[at].unmask(message)
        world.give(3, _lie_in_share(world, at, answer, gate=gate) if at == 1 else answer)
    opened = world.server.close_unmask()
    world.check(opened)
    assert opened.suspects == (world.roster.devices[1],)


def test_shares_that_were_dealt_wrongly_are_a_named_abort_and_never_a_wrong_sum() -> None:
    world = World.of(6)
    cohorts = world.advertise()
    for at, message in cohorts.items():
        shares = Shares.from_bytes(world.rounds[at].share(message))
        if at == 2:
            shares = replace(shares, self_commitment=bytes(32)).signed(world.devices[at])
        world.give(1, shares.to_bytes())
    inboxes = world._by_place(world.server.close_share())
    with pytest.raises(RoundAbortedError) as caught:
        world.unmask(world.mask(inboxes))
    assert (caught.value.reason, caught.value.devices) == (Reason.FALSE_SHARES, (world.roster.devices[2],))


def test_a_box_that_does_not_open_loses_a_share_only() -> None:
    world = World.of(7)
    inboxes = world.share(world.advertise())
    read = Inbox.from_bytes(inboxes[3], 7)
    inboxes[3] = replace(read, boxes=(bytes(len(read.boxes[0])), *read.boxes[1:])).to_bytes()
    world.check(world.unmask(world.mask(inboxes)))


def test_too_few_boxes_that_open_stop_a_device() -> None:
    world = World.of(7)
    inboxes = world.share(world.advertise())
    read = Inbox.from_bytes(inboxes[3], 7)
    spoiled = replace(read, boxes=tuple(bytes(len(box)) for box in read.boxes)).to_bytes()
    with pytest.raises(RefusedError) as caught:
        world.rounds[3].mask(spoiled, world.vectors[3])
    assert caught.value.reason is Reason.BAD_BOXES
    # It stands as before: the true inbox is still answered.
    world.check(world.unmask(world.mask(inboxes)))


def test_a_device_answers_each_exchange_once_and_in_order() -> None:
    world = World.of(4)
    device = world.rounds[0]
    for early in (lambda: device.share(b""), lambda: device.mask(b"", world.vectors[0]), lambda: device.unmask(b"")):
        with pytest.raises(RefusedError) as caught:
            early()
        assert caught.value.reason is Reason.OUT_OF_TURN
    lists = world.mask(world.share(world.advertise()))
    world.unmask(lists)
    with pytest.raises(RefusedError) as caught:
        device.unmask(lists[0])
    assert caught.value.reason is Reason.OUT_OF_TURN


def test_elements_of_another_form_are_refused() -> None:
    world = World.of(4)
    inboxes = world.share(world.advertise())
    device, good = world.rounds[0], world.vectors[0]
    for bad in (good[:-1], good.astype(np.int64), np.full_like(good, world.agreed.ring.modulus)):
        with pytest.raises(SumError):
            device.mask(inboxes[0], bad)
    device.mask(inboxes[0], good)


def test_lists_that_cannot_be_are_refused() -> None:
    world = World.of(6)
    cohorts = world.advertise()
    inboxes = world.share(cohorts, {5})
    lists = world.mask(inboxes)
    shown = Survivors.from_bytes(lists[0], 6)
    device = world.rounds[0]
    for bad, reason in [
        (replace(shown, survivors=shown.survivors | {5}), Reason.MALFORMED),
        (replace(shown, survivors=shown.survivors - {0}), Reason.NOT_MEANT),
        (replace(shown, receipts=shown.receipts[1:]), Reason.MALFORMED),
        (replace(shown, view=bytes(32)), Reason.OTHER_CONTEXT),
        (replace(shown, receipts=tuple(bytes(16) for _ in shown.receipts)), Reason.BAD_RECEIPT),
    ]:
        with pytest.raises(RefusedError) as caught:
            device.unmask(bad.to_bytes())
        assert caught.value.reason is reason
    device.unmask(lists[0])


def test_another_roster_is_refused_on_both_sides() -> None:
    world = World.of(4)
    other = Roster.of((device.public for device in world.devices), version=2)
    with pytest.raises(RefusedError):
        DeviceRound(world.devices[0], other, world.agreed, world.thresholds, ReplayGuard(), now=0)
    with pytest.raises(RefusedError):
        ServerRound(world.agreed, other, world.thresholds)
    with pytest.raises(RefusedError) as caught:
        DeviceRound(identities(1, seed=77)[0], world.roster, world.agreed, world.thresholds, ReplayGuard(), now=0)
    assert caught.value.reason is Reason.STRANGER


def test_upload_is_the_packed_vector_and_a_few_kilobytes() -> None:
    """At the field's figures (52 neighbours) what is beside the vector must stay far below 25 kB."""
    world = World.of(
        60,
        thresholds=Thresholds(cohort=3, survivors=2, assumptions=NOBODY),
        parameters=lambda size: GraphParameters(52, 28),
    )
    world.run()
    whole = sum(len(messages[0]) for messages in world.sent)
    assert whole - (world.agreed.length * world.agreed.bits + 7) // 8 < 12_000


def test_expected_and_received_say_when_to_go_on() -> None:
    world = World.of(5)
    assert (world.server.received, world.server.expected) == (0, 5)
    cohorts = world.advertise([0, 1, 2, 3])
    assert (world.server.received, world.server.expected) == (0, 4)
    inboxes = world.share(cohorts)
    world.mask(inboxes, {3})
    assert (world.server.received, world.server.expected) == (0, 3)


def test_every_error_is_the_projects_own() -> None:
    assert issubclass(RoundAbortedError, ProtocolError) and issubclass(RefusedError, ProtocolError)
