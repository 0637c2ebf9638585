"""The protocol from end to end: exact sums, dropouts at every exchange, bad messages, and rounds that fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from secagg_cases import LENIENT, NOBODY, World, identities

from fedrec.errors import ProtocolError, SumError
from fedrec.secagg.bits import unpack
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.messages import Advertise, Masked, Shares, Unmask
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.server import ServerRound
from fedrec.secagg.server_messages import Certificate, Inbox, View
from fedrec.secagg.thresholds import Thresholds


@pytest.mark.parametrize("count", [3, 4, 7, 12])
def test_everybody_stays(count: int) -> None:
    world = World.of(count)
    opened = world.run()
    assert opened.survivors == world.roster.devices
    assert world.server.caught == {}
    world.check(opened)
    assert np.any(opened.total)


def test_a_sparse_ring_gives_the_exact_sum_with_dropouts_at_every_exchange() -> None:
    lenient = Assumptions(corrupt=0, dropout=0.2, colluding=0)
    world = World.of(
        40, thresholds=Thresholds(cohort=35, survivors=20, assumptions=lenient), graph=GraphParameters(20, 11)
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
    views = world.views()
    masked = [
        unpack(Masked.from_bytes(world.rounds[at].mask(views[at], world.vectors[at])).packed, length, world.agreed.bits)
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
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(inboxes))))
    assert world.roster.devices[4] not in opened.survivors
    world.check(opened)


def test_bad_messages_are_named_and_change_nothing() -> None:
    world = World.of(6)
    stranger = World.of(6, seed=9)
    first = world.rounds[0].advertise()
    for message, reason in [
        (b"", Reason.MALFORMED),
        (b"\x02\x63", Reason.MALFORMED),
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
    world.check(world.unmask(world.confirm(world.mask(world.check_boxes(world.share(cohorts))))))


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
    world = World.of(6, thresholds=Thresholds(cohort=4, survivors=4, assumptions=LENIENT))
    with pytest.raises(RoundAbortedError) as caught:
        world.run(*gone)
    assert caught.value.reason is reason
    assert reason.value in str(caught.value)


def test_a_cohort_below_the_servers_floor_is_a_named_abort() -> None:
    world = World.of(6, thresholds=Thresholds(cohort=5, survivors=3, assumptions=LENIENT))
    with pytest.raises(RoundAbortedError) as caught:
        world.advertise([0, 1, 2, 3])
    assert caught.value.reason is Reason.SMALL_COHORT
    with pytest.raises(RefusedError):
        world.server.close_share()


def test_a_round_that_is_given_up_costs_no_device_its_next_attempt_or_round() -> None:
    world = World.of(6, thresholds=Thresholds(cohort=4, survivors=4, assumptions=LENIENT))
    with pytest.raises(RoundAbortedError):
        world.run((), {0, 1}, {2, 3, 4, 5})
    for again in ({"attempt": 1, "round": 1}, {"round": 2}):
        # Those that were asked to help to open round 1 did not: nobody has answered it.
        after = World.of(6, replay_guards=world.replay_guards, **again)
        after.check(after.run())
        with pytest.raises(RefusedError) as caught:
            World.of(6, replay_guards=world.replay_guards, **again).run()
        assert caught.value.reason is Reason.ANSWERED


def test_a_device_that_lies_in_its_answer_is_found_out_and_the_sum_is_right() -> None:
    world = World.of(8)
    certificates = world.confirm(world.mask(world.views(), {6}))
    for at, message in certificates.items():
        answer = Unmask.from_bytes(world.rounds[at].unmask(message), 7)
        lie = replace(answer, shares=tuple(bytes(32) for _ in answer.shares)).signed(world.devices[at])
        world.give(5, (lie if at == 1 else answer).to_bytes())
    opened = world.server.close_unmask()
    world.check(opened)
    assert world.server.caught == {world.roster.devices[1]: "false-share"}


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
        world.unmask(world.confirm(world.mask(world.check_boxes(inboxes))))
    assert (caught.value.reason, caught.value.devices) == (Reason.FALSE_SHARES, (world.roster.devices[2],))


def test_a_box_that_does_not_open_costs_a_share_only() -> None:
    world = World.of(9)
    inboxes = world.share(world.advertise())
    read = Inbox.from_bytes(inboxes[3], 9)
    inboxes[3] = replace(read, boxes=(bytes(len(read.boxes[0])), *read.boxes[1:])).to_bytes()
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(inboxes))))
    world.check(opened)
    assert len(opened.survivors) == 9 and not world.server.left_out
    complaints = world.server._records.complaints
    assert {place: set(about) for place, about in complaints.items() if about} == {
        3: {world.server._records.neighbours[3][0]}
    }


def test_too_few_boxes_that_open_leave_a_device_out_and_stop_it() -> None:
    world = World.of(7)
    inboxes = world.share(world.advertise())
    read = Inbox.from_bytes(inboxes[3], 7)
    inboxes[3] = replace(read, boxes=tuple(bytes(len(box)) for box in read.boxes)).to_bytes()
    views = world.check_boxes(inboxes)
    assert world.server.left_out == (world.roster.devices[3],) and 3 not in views
    with pytest.raises(RefusedError) as caught:
        world.rounds[3].mask(views[0], world.vectors[3])
    assert caught.value.reason is Reason.NOT_MEANT
    everybody = replace(View.from_bytes(views[0], 7), members=frozenset(range(7))).to_bytes()
    with pytest.raises(RefusedError) as caught:
        world.rounds[3].mask(everybody, world.vectors[3])
    assert caught.value.reason is Reason.BAD_BOXES
    opened = world.unmask(world.confirm(world.mask(views)))
    world.check(opened)
    assert len(opened.survivors) == 6


def test_a_device_answers_each_exchange_once_and_in_order() -> None:
    world = World.of(4)
    device = world.rounds[0]
    steps = (
        device.share,
        device.check,
        lambda view: device.mask(view, world.vectors[0]),
        device.confirm,
        device.unmask,
    )
    for early in (lambda step=step: step(b"") for step in steps):
        with pytest.raises(RefusedError) as caught:
            early()
        assert caught.value.reason is Reason.OUT_OF_TURN
    certificates = world.confirm(world.mask(world.views()))
    world.unmask(certificates)
    with pytest.raises(RefusedError) as caught:
        device.unmask(certificates[0])
    assert caught.value.reason is Reason.OUT_OF_TURN


def test_elements_of_another_form_are_refused() -> None:
    world = World.of(4)
    views = world.views()
    device, good = world.rounds[0], world.vectors[0]
    for bad in (good[:-1], good.astype(np.int64), np.full_like(good, world.agreed.ring.modulus)):
        with pytest.raises(SumError):
            device.mask(views[0], bad)
    device.mask(views[0], good)


def test_lists_that_cannot_be_are_refused() -> None:
    world = World.of(6)
    inboxes = world.share(world.advertise(), {5})
    certificates = world.confirm(world.mask(world.check_boxes(inboxes)))
    shown = Certificate.from_bytes(certificates[0], 6)
    device = world.rounds[0]
    for bad, reason in [
        (replace(shown, survivors=shown.survivors | {5}), Reason.MALFORMED),
        (replace(shown, survivors=shown.survivors - {0}), Reason.NOT_MEANT),
        (replace(shown, survivors=frozenset({0, 1})), Reason.FEW_SURVIVORS),
        (replace(shown, survivors=shown.survivors - {4}, receipts=shown.receipts[1:]), Reason.BAD_SIGNATURE),
        (replace(shown, receipts=shown.receipts[1:]), Reason.MALFORMED),
        (replace(shown, view=bytes(32)), Reason.OTHER_CONTEXT),
        (replace(shown, receipts=tuple(bytes(16) for _ in shown.receipts)), Reason.BAD_RECEIPT),
        (replace(shown, signatures=shown.signatures[::-1]), Reason.BAD_SIGNATURE),
        (replace(shown, signers=frozenset(), signatures=()), Reason.NO_QUORUM),
        (replace(shown, signers=shown.signers | {5}, signatures=shown.signatures * 2), Reason.MALFORMED),
    ]:
        with pytest.raises(RefusedError) as caught:
            device.unmask(bad.to_bytes())
        assert caught.value.reason is reason
    device.unmask(certificates[0])


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
        graph=GraphParameters(52, 28),
    )
    world.run()
    whole = sum(len(messages[0]) for messages in world.sent)
    assert whole - (world.agreed.length * world.agreed.bits + 7) // 8 < 12_000


def test_expected_and_received_say_when_to_go_on() -> None:
    world = World.of(7)
    assert (world.server.received, world.server.expected) == (0, 7)
    cohorts = world.advertise(range(6))
    assert (world.server.received, world.server.expected) == (0, 6)
    inboxes = world.share(cohorts)
    assert (world.server.received, world.server.expected) == (0, 6)
    views = world.check_boxes(inboxes)
    assert (world.server.received, world.server.expected) == (0, 6)
    lists = world.mask(views, {3})
    assert (world.server.received, world.server.expected) == (0, len(lists)) and lists
    certificates = world.confirm(lists)
    assert (world.server.received, world.server.expected) == (0, 5)
    world.unmask(certificates)
    assert (world.server.received, world.server.expected) == (0, 0)


def test_every_error_is_the_projects_own() -> None:
    assert issubclass(RoundAbortedError, ProtocolError) and issubclass(RefusedError, ProtocolError)
