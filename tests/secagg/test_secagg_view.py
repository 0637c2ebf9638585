"""Complaints: whoever deals boxes that do not open is left out, and liars cost nobody but themselves."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import LENIENT, World

from fedrec.secagg.errors import Reason
from fedrec.secagg.messages import Complaints, Shares
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose
from fedrec.secagg.thresholds import Thresholds
from fedrec.secagg.view import spare_holders, who_goes_on


def _ring(size: int, degree: int) -> list[tuple[int, ...]]:
    steps = [step for step in range(-degree // 2, degree // 2 + 1) if step]
    return [tuple((at + step) % size for step in steps) for at in range(size)]


@settings(deadline=None, max_examples=150)
@given(data=st.data(), degree=st.sampled_from([6, 8, 10]))
def test_liars_leave_no_honest_device_out_that_has_enough_honest_neighbours(data: st.DataObject, degree: int) -> None:
    """Anybody may lie, about anybody, in boxes and in complaints."""
    size, parameters = 24, GraphParameters(degree, degree // 2 + 1)
    neighbours = _ring(size, degree)
    places = st.integers(0, size - 1)
    liars, silent = data.draw(st.sets(places, max_size=4)), data.draw(st.sets(places, max_size=3))
    honest = set(range(size)) - liars - silent
    complaints = {}
    for at in set(range(size)) - silent:
        near = set(neighbours[at])
        # A liar says anything; an honest device complains about whichever liars sent it garbage.
        pool = sorted(near if at in liars else near & liars)
        complaints[at] = frozenset(data.draw(st.sets(st.sampled_from(pool))) if pool else ())
    going = who_goes_on(neighbours, complaints, parameters)
    least = parameters.threshold + spare_holders(parameters)
    safe = set(honest)
    while bad := {at for at in safe if len(set(neighbours[at]) & safe) < least}:
        safe -= bad
    assert safe <= going
    for at in going:
        holders = [near for near in neighbours[at] if near in going and at not in complaints[near]]
        held = [near for near in neighbours[at] if near in going and near not in complaints[at]]
        assert len(holders) >= (least if safe else parameters.threshold) and len(held) >= parameters.threshold


@settings(deadline=None, max_examples=100)
@given(pairs=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=24))
def test_it_is_the_largest_such_set(pairs: set[tuple[int, int]]) -> None:
    """Against every set of eight devices that know each other."""
    parameters = GraphParameters(7, 4)
    neighbours = [tuple(other for other in range(8) if other != at) for at in range(8)]
    complaints = {at: frozenset(b for a, b in pairs if a == at and b != at) for at in range(8)}

    def good(chosen: frozenset[int]) -> bool:
        return all(
            sum(at not in complaints[near] for near in chosen - {at}) >= 4 + spare_holders(parameters)
            and len(chosen - {at} - complaints[at]) >= 4
            for at in chosen
        )

    every = (frozenset(found) for count in range(9) for found in itertools.combinations(range(8), count))
    largest: frozenset[int] = frozenset().union(*(found for found in every if good(found)))
    if largest:
        assert who_goes_on(neighbours, complaints, parameters) == largest


def test_garbage_boxes_leave_their_sender_out_before_anything_is_masked() -> None:
    """12 of 60 deal garbage: the sum of the others opens in the same attempt."""
    garbage = set(range(0, 60, 5))
    assumptions = Assumptions(corrupt=0.05, dropout=0.3, colluding=0.05)
    thresholds = Thresholds(cohort=40, survivors=40, assumptions=assumptions)
    world = World.of(60, thresholds=thresholds, graph=choose(60, assumptions))
    cohorts = world.advertise()
    for at, message in cohorts.items():
        shares = Shares.from_bytes(world.rounds[at].share(message))
        if at in garbage:
            spoiled = tuple(bytes(len(box)) for box in shares.boxes)
            shares = replace(shares, boxes=spoiled).signed(world.devices[at])
        world.give(1, shares.to_bytes())
    views = world.check_boxes(world._by_place(world.server.close_share()))
    assert {world.place(device) for device in world.server.left_out} == garbage
    opened = world.unmask(world.confirm(world.mask(views)))
    world.check(opened)
    assert len(opened.survivors) == 48
    # Nothing was masked, and so nothing spent, by those that were left out.
    assert all(not world.replay_guards[at]._runs for at in garbage)


def test_one_liars_complaints_cost_one_holder_each() -> None:
    world = World.of(20, thresholds=Thresholds(cohort=15, survivors=12, assumptions=LENIENT))
    inboxes = world.share(world.advertise())
    for at, inbox in inboxes.items():
        message = world.rounds[at].check(inbox)
        if at == 7:
            # About as many as it can without holding too few itself.
            context, lie = world.server._records.context, frozenset(range(9))
            message = Complaints(at, b"", context, 19, lie).signed(world.devices[at]).to_bytes()
        world.give(2, message)
    views = world._by_place(world.server.close_check())
    assert len(views) == 20
    opened = world.unmask(world.confirm(world.mask(views)), {7})
    world.check(opened)
    assert len(opened.survivors) == 20


@pytest.mark.parametrize("slots", [frozenset({0, 18}), frozenset()])
def test_complaints_are_about_boxes_that_were_passed_on(slots: frozenset[int]) -> None:
    world = World.of(20, thresholds=Thresholds(cohort=15, survivors=12, assumptions=LENIENT))
    world.share(world.advertise(), {3})
    about = slots or frozenset({world.server._records.neighbours[0].index(3)})
    lie = Complaints(0, b"", world.server._records.context, 19, about).signed(world.devices[0])
    refused = world.server.receive(lie.to_bytes())
    if 3 in {world.server._records.neighbours[0][slot] for slot in about}:
        assert refused is not None and refused.reason is Reason.MALFORMED
    else:
        assert refused is None
