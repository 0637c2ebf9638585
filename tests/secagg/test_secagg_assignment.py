"""Ring and committee follow from public randomness, and from nothing that a server says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import NOBODY, World, agree, identities

from fedrec.secagg.assignment import assign
from fedrec.secagg.context import Agreed
from fedrec.secagg.device import DeviceRound
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.parameters import GraphParameters
from fedrec.secagg.replay_guard import ReplayGuard
from fedrec.secagg.roster import Roster
from fedrec.secagg.thresholds import Thresholds

ROSTER = Roster.of(device.public for device in identities(60))
THRESHOLDS = Thresholds(cohort=20, survivors=15)


def _agree(**more: object) -> Agreed:
    return agree(ROSTER, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"run": "another"}, {"attempt": 3}, {"request": b"another"}, {"length": 9}, {"rows": 70}]
)
def test_what_a_server_may_say_changes_nobodys_neighbours(change: dict[str, object]) -> None:
    one, other = (assign(_agree(**more), (), THRESHOLDS) for more in ({}, change))
    np.testing.assert_array_equal(one.graph.order, other.graph.order)
    assert one.committee == other.committee


@pytest.mark.parametrize("change", [{"round": 2}, {"seed": bytes(32)}])
def test_the_seed_and_the_round_change_them(change: dict[str, object]) -> None:
    one, other = (assign(_agree(**more), (), THRESHOLDS) for more in ({}, change))
    assert not np.array_equal(one.graph.order, other.graph.order)
    assert one.committee != other.committee


@settings(deadline=None, max_examples=30)
@given(gone=st.sets(st.integers(0, 59), max_size=6))
def test_who_is_missing_brings_nobody_nearer(gone: set[int]) -> None:
    """A device's neighbours in a cohort are among those it has when everybody is there."""
    world = World.of(60, thresholds=THRESHOLDS, graph=GraphParameters(26, 14))
    cohorts = world.advertise(set(range(60)) - gone)
    at = min(cohorts)
    world.rounds[at].share(cohorts[at])
    near = world.rounds[at]._near
    assert near is not None
    whole = assign(world.agreed, (), world.thresholds).graph.neighbours(at)
    assert near.neighbours == whole
    assert {whole[slot] for slot in near.adverts} == set(whole) - gone


def test_eligible_devices_are_a_part_of_the_roster() -> None:
    """Places among the eligible are others than in the roster; whoever is not eligible has none."""
    eligible = tuple(range(1, 60, 2))
    found = assign(_agree(eligible=eligible), (), THRESHOLDS)
    assert (found.size, found.place(1), found.place(59), found.place(2)) == (30, 0, 29, None)
    assert found.places({1, 5}) == {0, 2} and found.places({1, 2}) is None
    assert max(found.committee) < 30
    devices = identities(60)
    for at in (0, 1):
        device = DeviceRound(devices[at], ROSTER, _agree(eligible=eligible), THRESHOLDS, ReplayGuard(), now=0)
        if at == 0:
            with pytest.raises(RefusedError) as caught:
                device.advertise()
            assert caught.value.reason is Reason.NOT_MEANT
        else:
            device.advertise()


def test_a_sum_of_some_of_the_roster_opens_and_takes_in_nobody_else() -> None:
    eligible = tuple(range(0, 12, 2))
    world = World.of(12, eligible=eligible, graph=GraphParameters(5, 3))
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(world.share(world.advertise(eligible))), {4})))
    world.check(opened)
    assert {world.place(device) for device in opened.survivors} == set(eligible) - {4}
    stranger = World.of(12, graph=GraphParameters(5, 3)).rounds[1]
    again = World.of(12, eligible=eligible, graph=GraphParameters(5, 3))
    forged = replace(again.agreed, eligible=tuple(range(12)))
    assert stranger._agreed.digest == forged.digest != again.agreed.digest


def test_a_sampled_cohort_is_whoever_is_shown() -> None:
    """Where a sample is the server's secret, ring and floors are of the devices that it shows."""
    world = World.of(12, eligible=None, graph=GraphParameters(5, 3))
    opened = world.unmask(world.confirm(world.mask(world.check_boxes(world.share(world.advertise(range(6)))))))
    world.check(opened)
    assert len(opened.survivors) == 6


@settings(deadline=None, max_examples=40)
@given(gone=st.sets(st.integers(0, 39), max_size=20))
def test_halves_are_those_of_the_ring(gone: set[int]) -> None:
    """Against counting them one by one."""
    found = assign(
        agree(Roster.of(device.public for device in identities(40))),
        (),
        replace(THRESHOLDS, assumptions=NOBODY, graph=GraphParameters(8, 5)),
    )
    found = replace(found, least_in_half=2)
    around = [place not in gone for place in found.graph.order.tolist()]
    least = min(sum(around[(first + step) % 40] for step in range(4)) for first in range(40))
    if least >= 2:
        found.check_halves(frozenset(range(40)) - gone)
    else:
        with pytest.raises(RefusedError) as caught:
            found.check_halves(frozenset(range(40)) - gone)
        assert caught.value.reason is Reason.GAP


@pytest.mark.parametrize("eligible", [(), (3,), (2, 1), (1, 1), (-1, 2), (0, 1 << 20)])
def test_impossible_places(eligible: tuple[int, ...]) -> None:
    from fedrec.errors import SumError

    with pytest.raises(SumError):
        _agree(eligible=eligible)
