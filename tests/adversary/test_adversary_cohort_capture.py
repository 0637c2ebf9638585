"""A server with colluding identities in the roster that wants a chosen device's vector, or a sum over few.

It picks who takes part, who is said to be gone, and every word it says; it does not pick the seed, which was drawn
after the roster was signed, nor the settings of devices.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from pytest import MonkeyPatch

from fedrec.secagg.assignment import Assignment, assign
from fedrec.secagg.committee import CommitteeSize, committee_size
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import Reason, RefusedError, RoundAbortedError
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose, guarantee, half_floor
from fedrec.secagg.tails import log2_tail
from fedrec.secagg.thresholds import Thresholds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "secagg"))
from secagg_cases import World, agree, identities

ROSTER, COLLUDING = 2000, 100
DEFAULT = Thresholds()


def _terms(number: int, size: int = ROSTER, **more: object) -> Agreed:
    """What is agreed in a round of a roster that exists by its digest only."""
    fields: dict[str, object] = {
        "run": "test",
        "round": number,
        "request": bytes(32),
        "roster": hashlib.sha256(b"roster").digest(),
        "length": 5,
        "bound": 4.0,
        "resolution": 2.0**-8,
        "rows": size,
        "seed": hashlib.sha256(b"drawn after the roster").digest(),
        "eligible": tuple(range(size)),
    }
    return Agreed.of(**(fields | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("off", [False, True])
def test_nineteen_friends_of_two_thousand_and_a_target(off: bool, monkeypatch: MonkeyPatch) -> None:
    """The cohort is the target and as many friends as the absolute floor asks for: its vector is what is left.

    Off: floors are of those whom the server shows, as they were before.
    """
    devices, target = identities(ROSTER), 777
    chosen = sorted([*range(0, 19 * 100, 100), target])
    eligible = None if off else tuple(range(ROSTER))
    whole = World.of(ROSTER, devices=devices, thresholds=DEFAULT, graph=choose(ROSTER), eligible=eligible)
    if not off:
        with pytest.raises(RoundAbortedError) as stopped:
            whole.advertise(chosen)
        assert stopped.value.reason is Reason.SMALL_COHORT
        # A server that goes on all the same.
        again = World.of(ROSTER, devices=devices, thresholds=DEFAULT, graph=choose(ROSTER), eligible=eligible)
        with monkeypatch.context() as patched:
            patched.setattr(Thresholds, "check_cohort", lambda self, count, eligible: None)
            shown = again.advertise(chosen)
        with pytest.raises(RefusedError) as caught:
            again.rounds[target].share(shown[target])
        assert caught.value.reason is Reason.SMALL_COHORT
        # The second line: its neighbours are the same ones, whoever is there.
        monkeypatch.setattr(Thresholds, "check_cohort", lambda self, count, eligible: None)
        with pytest.raises(RefusedError) as caught:
            again.rounds[target].share(shown[target])
        assert (caught.value.reason, "neighbours" in caught.value.what) == (Reason.SMALL_COHORT, True)
        return
    views = whole.check_boxes(whole.share(whole.advertise(chosen)))
    opened = whole.unmask(whole.confirm(whole.mask(views)))
    known = whole.sum(set(chosen) - {target})
    bare = opened.total - known & np.uint64(whole.agreed.ring.modulus - 1)
    np.testing.assert_array_equal(bare, whole.vectors[target])


@pytest.mark.parametrize("off", [False, True])
def test_a_server_that_tries_names_until_friends_surround_the_target(off: bool, monkeypatch: MonkeyPatch) -> None:
    """Runs, attempts, requests: whatever a server may call something, the ring stays as it is.

    Off: the ring hangs on all that was agreed, as it did before.
    """
    if off:
        monkeypatch.setattr(Agreed, "ring_key", property(lambda self: self.digest))
    monkeypatch.setattr(Thresholds, "check_graph", lambda self, size, graph: None)
    size, target, friends = 60, 0, set(range(50, 60))
    thresholds = Thresholds(graph=GraphParameters(4, 3))
    seen = set()
    for attempt, name in itertools.product(range(4), range(500)):
        terms = _terms(1, size, run=f"run {name}", attempt=attempt)
        seen.add(frozenset(assign(terms, (), thresholds).graph.neighbours(target)))
    surrounded = [near for near in seen if len(near & friends) >= 3]
    assert bool(surrounded) is off
    assert off or len(seen) == 1


def _worst(found: Assignment, colluding: set[int]) -> tuple[int, int, int]:
    """Most colluding neighbours of an honest device; halves that fall to them, apart; those on the committee."""
    bad = np.zeros(found.size, dtype=np.int64)
    bad[sorted(colluding)] = 1
    around, half = bad[found.graph.order], found.parameters.degree // 2
    sums = np.cumsum(np.concatenate(([0], around, around[:half])))
    stretches = sums[half : half + found.size] - sums[: found.size]
    near = np.roll(stretches, -1) + np.roll(stretches, half)  # the half ahead, and the half behind
    full = np.flatnonzero(stretches >= found.least_in_half)
    apart, last = 0, -found.size
    for first in full:
        if first - last >= half:
            apart, last = apart + 1, int(first)
    return int(near[around == 0].max()), apart, len(found.committee & colluding)


def test_a_hundred_of_two_thousand_capture_no_round() -> None:
    """Five in a hundred collude, and the server leaves out whom it likes, within the floor.

    In no round of these do colluding neighbours have a threshold of any honest device's shares, do two stretches of the
    ring fall to them, or can the committee sign two lists: so there is one sum, over all honest devices of one list.
    """
    colluding = set(range(0, ROSTER, ROSTER // COLLUDING))
    wanted = DEFAULT.assumptions
    chosen = choose(ROSTER)
    assert guarantee(ROSTER, *vars(chosen).values(), wanted).holds(wanted)
    for number in range(200):
        found = assign(_terms(number), (), DEFAULT)
        shares, apart, signers = _worst(found, colluding)
        assert shares < chosen.threshold
        assert apart < 2
        assert signers < 2 * found.quorum - committee_size(ROSTER, wanted).members


def test_a_hundred_of_two_thousand_and_everybody_left_out_who_can_be() -> None:
    """The server leaves out two hundred honest devices, all around one target: its list is refused, or of no use."""
    colluding = set(range(0, ROSTER, ROSTER // COLLUDING))
    for number in range(50):
        found = assign(_terms(number), (), DEFAULT)
        target = next(place for place in found.graph.order.tolist() if place not in colluding)
        honest = [place for place in found.graph.neighbours(target) if place not in colluding]
        # As many of its honest neighbours as the check of halves lets pass: nearest first, then others far away.
        left_out: list[int] = []
        for place in honest:
            try:
                found.check_halves(frozenset(range(ROSTER)) - {*left_out, place})
            except RefusedError:
                continue
            left_out.append(place)
        remaining = set(honest) - set(left_out)
        assert remaining, "a target without an honest neighbour stands alone"
        with pytest.raises(RefusedError) as caught:
            found.check_halves(frozenset(range(ROSTER)) - set(honest))
        assert caught.value.reason is Reason.GAP
        with pytest.raises(RefusedError) as caught:
            DEFAULT.check_survivors(ROSTER - 201, ROSTER)
        assert caught.value.reason is Reason.FEW_SURVIVORS


SIZE, FRIENDS, ROUNDS = 60, 12, 4000
WEAK = Assumptions(corrupt=0.0, dropout=0.1, colluding=FRIENDS / SIZE, security=3)


def test_the_chances_are_those_of_the_formulas() -> None:
    """Weak parameters, where captures happen: how often, against what is computed."""
    colluding, half, threshold, least = set(range(FRIENDS)), 4, 5, 3
    graph = GraphParameters(2 * half, threshold)
    committee = CommitteeSize(9, 6)
    thresholds = Thresholds(graph=graph, assumptions=WEAK)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Thresholds, "check_graph", lambda self, size, graph: None)
        patched.setattr(Thresholds, "committee", lambda self, size: committee)
        seen = []
        for number in range(ROUNDS):
            found = assign(_terms(number, SIZE), (), thresholds)
            found = Assignment(found.eligible, graph, found.graph, least, found.committee, committee.quorum)
            near = found.graph.neighbours(FRIENDS)  # of one chosen honest device
            held = sum(place in colluding for place in near) >= threshold
            seen.append((held, _worst(found, colluding)[1] >= 2, len(found.committee & colluding) >= 3))
    held, cut, split = np.array(seen).mean(axis=0)
    for measured, log2 in (
        (held, log2_tail(SIZE - 1, FRIENDS, 2 * half, threshold)),
        (split, log2_tail(SIZE, FRIENDS, committee.members, 2 * committee.quorum - committee.members)),
    ):
        expected = 2**log2
        assert measured > 0
        assert abs(measured - expected) < 5 * math.sqrt(expected / ROUNDS)
    bound = SIZE**2 / 2 * 2 ** (2 * log2_tail(SIZE, FRIENDS, half, least))
    assert 0 < cut <= bound


def test_the_default_holds_where_a_device_accepts_it() -> None:
    """Devices refuse a graph that gives less, so the table of the documents is what they insist on."""
    for size in (100, 300, 1000, 2000, 10_000, 100_000):
        chosen = choose(size)
        assert half_floor(size, chosen.degree, Assumptions()) <= chosen.degree // 2
        found = committee_size(size, Assumptions())
        colluding = math.ceil(size / 20)
        chance = log2_tail(size, colluding, found.members, 2 * found.quorum - found.members)
        assert chance <= -40
        with pytest.raises(RefusedError):
            DEFAULT.check_graph(size, GraphParameters(chosen.degree // 4 * 2, chosen.degree // 4 + 1))


def test_nobody_forces_another_committee() -> None:
    terms = agree(World.of(30).roster)
    thresholds = Thresholds()
    first = assign(terms, (), thresholds)
    for attempt in range(1, 5):
        again = assign(agree(World.of(30).roster, attempt=attempt, run=f"other {attempt}"), (), thresholds)
        assert again.committee == first.committee
