"""Devices that are silent, send garbage or lie: the exact sum of the others is opened, and liars are proved to be some.

Real devices and an honest server, one sum. A whole run with such devices is in ``test_adversary_bad_devices_run``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from fedrec.secagg import opening
from fedrec.secagg.blame import FALSE_SHARE
from fedrec.secagg.errors import Reason, RoundAbortedError
from fedrec.secagg.outcome import OpenedSum
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.sealed_shares import open_box
from fedrec.secagg.thresholds import Thresholds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "secagg"))
import bad_devices as bad
from bad_devices import Acts, play
from secagg_cases import World, identities

pytestmark = pytest.mark.slow

SIXTY = identities(60)
GARBAGE, SILENT, LIARS = set(range(12)), set(range(12, 18)), set(range(18, 28))
# As many may be missing as send garbage or are silent, and everybody is everybody's neighbour.
DEFAULT = Thresholds()
THIRD = Thresholds(cohort=40, survivors=30, assumptions=Assumptions(dropout=0.3), graph=GraphParameters(59, 30))


def sixty(thresholds: Thresholds, seed: int = 0) -> World:
    return World.of(60, devices=SIXTY, thresholds=thresholds, graph=thresholds.parameters(60), seed=seed)


def all_at(exchange: int, who: set[int], act: bad.Act) -> Acts:
    return {(at, exchange): act for at in who}


def survivors(world: World, opened: OpenedSum) -> set[int]:
    world.check(opened)
    return {world.place(device) for device in opened.survivors}


def names(world: World, who: set[int], reason: str) -> dict[bytes, str]:
    return {world.roster.devices[at]: reason for at in who}


def test_a_fifth_send_garbage_boxes() -> None:
    world = sixty(THIRD)
    opened = play(world, all_at(bad.SHARE, GARBAGE, bad.garbage_boxes))
    assert survivors(world, opened) == set(range(60)) - GARBAGE
    assert {world.place(device) for device in world.server.left_out} == GARBAGE
    assert world.server.caught == {}, "boxes that do not open may be the holders' lie: nothing is proved"


@pytest.mark.parametrize("exchange", [bad.ADVERTISE, bad.SHARE, bad.CHECK, bad.MASK, bad.UNMASK])
@pytest.mark.parametrize("act", [bad.silent, bad.garbage, bad.cut_short, bad.nothing, bad.somebody_elses])
def test_a_tenth_are_silent_or_send_nonsense_in_any_exchange(exchange: int, act: bad.Act) -> None:
    """With the default settings, which assume that no more are missing."""
    world = sixty(DEFAULT)
    who = set(range(0, 60, 10))
    opened = play(world, all_at(exchange, who, act))
    assert survivors(world, opened) == set(range(60)) - (who if exchange < bad.CONFIRM else set())
    assert world.server.caught == {}


def test_ten_lie_about_every_share_with_the_default_settings() -> None:
    world = sixty(DEFAULT)
    opened = play(world, all_at(bad.UNMASK, LIARS, bad.false_shares))
    assert survivors(world, opened) == set(range(60))
    assert world.server.caught == names(world, LIARS, FALSE_SHARE)


def test_a_fifth_garbage_a_tenth_silent_and_ten_liars_of_sixty_at_once() -> None:
    """28 of 60 are bad: the exact sum of all that sent a vector, in one attempt, and every liar is named."""
    world = sixty(THIRD)
    acts = {
        **all_at(bad.SHARE, GARBAGE, bad.garbage_boxes),
        **all_at(bad.MASK, SILENT, bad.silent),
        **all_at(bad.UNMASK, LIARS, bad.false_shares),
    }
    opened = play(world, acts)
    assert survivors(world, opened) == set(range(60)) - GARBAGE - SILENT
    assert world.server.caught == names(world, LIARS, FALSE_SHARE)


def test_without_commitments_to_shares_the_same_liars_lose_the_round(monkeypatch: MonkeyPatch) -> None:
    """Decoding alone corrects half as many: 5 of the 41 that hold shares of each, with a threshold of 30."""
    monkeypatch.setattr(opening, "_is_dealt", lambda *_: True)
    missing = all_at(bad.SHARE, GARBAGE, bad.garbage_boxes) | all_at(bad.MASK, SILENT, bad.silent)
    with pytest.raises(RoundAbortedError) as caught:
        play(sixty(THIRD), missing | all_at(bad.UNMASK, LIARS, bad.false_shares))
    assert caught.value.reason is Reason.FALSE_SHARES
    world = sixty(THIRD)
    opened = play(world, missing | all_at(bad.UNMASK, set(sorted(LIARS)[:5]), bad.false_shares))
    assert survivors(world, opened) == set(range(60)) - GARBAGE - SILENT


def test_without_complaints_one_device_with_garbage_boxes_stops_the_round(monkeypatch: MonkeyPatch) -> None:
    """As it was: nobody says before it masks that it cannot open a box, and its owner's secret is lost."""
    monkeypatch.setattr("fedrec.secagg.server.who_goes_on", lambda neighbours, complaints, *_: frozenset(complaints))
    world = sixty(THIRD)
    with pytest.raises(RoundAbortedError) as caught:
        play(world, all_at(bad.SHARE, {3}, bad.garbage_boxes))
    assert (caught.value.reason, caught.value.devices) == (Reason.SECRET_LOST, (world.roster.devices[3],))


# Two whose boxes do not hold what they say, and some who lie about shares, so that these are looked at.
FRAMING = all_at(bad.SHARE, {3, 4}, bad.boxes_that_say_otherwise) | all_at(bad.UNMASK, {5, 6, 7}, bad.false_shares)


def test_an_owner_cannot_make_its_holders_look_like_liars() -> None:
    world = sixty(THIRD)
    opened = play(world, FRAMING)
    assert survivors(world, opened) == set(range(60)) - {3, 4}
    assert world.server.caught == names(world, {5, 6, 7}, FALSE_SHARE)


def test_without_the_holders_check_an_owner_makes_honest_holders_look_like_liars(monkeypatch: MonkeyPatch) -> None:
    def unchecked(key: bytes, owner: bytes, holder: bytes, context: bytes, box: bytes) -> tuple[bytes, bytes]:
        opened = open_box(key, owner, holder, context, box[:-32])
        return opened[:32], opened[32:]

    monkeypatch.setattr("fedrec.secagg.inbox.read_box", unchecked)
    world = sixty(THIRD)
    with pytest.raises(RoundAbortedError):
        play(world, FRAMING)
    assert world.server.caught == names(world, set(range(60)), FALSE_SHARE)


def test_complaints_about_everybody_exclude_only_who_complains() -> None:
    world = sixty(THIRD)
    liars = {1, 2, 3, 4, 5, 6}
    opened = play(world, all_at(bad.CHECK, liars, bad.false_complaints))
    assert survivors(world, opened) == set(range(60)) - liars


def test_whoever_signs_nonsense_is_proved_to_have() -> None:
    world = sixty(DEFAULT)
    opened = play(world, all_at(bad.MASK, {7, 8}, bad.empty_vector))
    assert survivors(world, opened) == set(range(60)) - {7, 8}
    assert world.server.caught == names(world, {7, 8}, Reason.MALFORMED.value)


ANYTHING = {
    bad.ADVERTISE: (bad.silent, bad.garbage, bad.cut_short, bad.nothing),
    bad.SHARE: (bad.silent, bad.garbage, bad.garbage_boxes, bad.boxes_that_say_otherwise),
    bad.CHECK: (bad.silent, bad.nothing, bad.false_complaints),
    bad.MASK: (bad.silent, bad.garbage, bad.empty_vector),
    bad.CONFIRM: (bad.silent, bad.garbage),
    bad.UNMASK: (bad.silent, bad.cut_short, bad.false_shares),
}
TWENTY = identities(20)
WITHIN = Thresholds(cohort=12, survivors=12, assumptions=Assumptions(dropout=0.3), graph=GraphParameters(19, 11))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_mixture_gives_the_exact_sum_or_a_named_abort(data: st.DataObject) -> None:
    """And the sum, not an abort, where no more are bad than are assumed to be missing; no honest device is blamed."""
    count = data.draw(st.integers(0, 12))
    who = data.draw(st.lists(st.integers(0, 19), min_size=count, max_size=count, unique=True))
    acts = {}
    for at in who:
        exchange = data.draw(st.sampled_from(sorted(ANYTHING)))
        acts[at, exchange] = data.draw(st.sampled_from(ANYTHING[exchange]))
    world = World.of(20, devices=TWENTY, thresholds=WITHIN)
    try:
        opened = play(world, acts)
    except RoundAbortedError as error:
        assert isinstance(error.reason, Reason)
        assert count > 6, (error, acts)
    else:
        # Whoever failed before it sent a vector is not in the sum, and nobody else is missing from it.
        early = {at for at, exchange in acts if exchange < bad.CONFIRM}
        assert set(range(20)) - early == survivors(world, opened)
    assert {world.place(device) for device in world.server.caught} <= set(who)
