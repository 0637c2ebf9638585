"""A server whose friends are 5% of a roster, where each round asks a cohort that is drawn from the roster.

A cohort of a hundred from two thousand may hold ten friends, or twenty: what devices insist on must hold for the draws
of cohort and ring together, not for a twentieth of each cohort.
"""

from __future__ import annotations

import hashlib
import math

import pytest

from fedrec.queries.cohorts import fixed_cohort
from fedrec.secagg.assignment import Assignment, assign
from fedrec.secagg.committee import committee_size
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import RefusedError
from fedrec.secagg.parameters import Assumptions, GraphParameters, choose, guarantee
from fedrec.secagg.tails import at_least, log2_tail
from fedrec.secagg.thresholds import Thresholds

ROSTER, COHORT, ROUNDS = 2000, 100, 4000
FRIENDS = frozenset(range(0, ROSTER, 20))
SEED = hashlib.sha256(b"drawn after the roster").digest()


def _round(number: int, thresholds: Thresholds) -> Assignment:
    """The ring and the committee of a round, over the cohort that the same seed draws."""
    asked = tuple(fixed_cohort(SEED, ROSTER, COHORT, number))
    roster = hashlib.sha256(b"roster").digest()
    terms = Agreed.of(
        run="test",
        round=number,
        request=bytes(32),
        roster=roster,
        length=5,
        bound=4.0,
        resolution=2.0**-8,
        rows=COHORT,
        seed=SEED,
        eligible=asked,
    )
    return assign(terms, (), thresholds)


def _lists_signed(found: Assignment) -> bool:
    """Whether friends on the committee are enough for two lists, each with a quorum."""
    signers = sum(found.eligible[place] in FRIENDS for place in found.committee)
    return signers >= 2 * found.quorum - len(found.committee)


@pytest.mark.parametrize("off", [False, True])
def test_two_lists_in_a_sampled_cohort(off: bool) -> None:
    """Two lists give any device of the round away (`tests/secagg/attacks/test_attack_two_lists.py`).

    Off: devices reckon with a twentieth of the cohort, as before: about one round in 700 is lost.
    """
    thresholds = Thresholds(assumptions=Assumptions(roster=0 if off else ROSTER))
    lost = sum(_lists_signed(_round(number, thresholds)) for number in range(1, ROUNDS + 1))
    assert (lost > 0) is off


def test_the_chances_are_those_of_both_draws() -> None:
    """With a committee that is too small by far, where it happens often: against the formula."""
    members, wanted = 12, 3
    thresholds = Thresholds(assumptions=Assumptions(roster=ROSTER))
    rounds = [_round(number, thresholds) for number in range(1, ROUNDS + 1)]
    # Which of the committee come first is the ring's to say, which is drawn apart.
    seen = [
        sum(found.eligible[place] in FRIENDS for place in found.graph.order[:members]) >= wanted for found in rounds
    ]
    expected = 2 ** log2_tail(ROSTER, len(FRIENDS), members, wanted)
    assert abs(sum(seen) / ROUNDS - expected) < 5 * math.sqrt(expected / ROUNDS)


@pytest.mark.parametrize(("cohort", "roster"), [(24, 120), (100, 2000), (300, 2000), (1000, 6040), (1000, 100_000)])
def test_parameters_of_sampled_cohorts_hold_for_the_roster(cohort: int, roster: int) -> None:
    """Bits; and devices refuse what holds for a twentieth of the cohort only."""
    wanted, before = Assumptions(roster=roster), Assumptions()
    chosen, found = choose(cohort, wanted), committee_size(cohort, wanted)
    assert guarantee(cohort, chosen.degree, chosen.threshold, wanted).holds(wanted)
    chance = log2_tail(roster, at_least(0.05, roster), found.members, 2 * found.quorum - found.members)
    assert chance <= -40
    weaker = choose(cohort, before)
    assert (weaker.degree, weaker.threshold) < (chosen.degree, chosen.threshold)
    if not guarantee(cohort, weaker.degree, weaker.threshold, wanted).holds(wanted, for_devices=True):
        with pytest.raises(RefusedError):
            Thresholds(assumptions=wanted).check_graph(cohort, GraphParameters(weaker.degree, weaker.threshold))
    else:
        assert cohort == 1000, "in large cohorts shares differ little, and the committee makes the difference"
    assert committee_size(cohort, before).quorum < found.quorum


def test_full_participation_stays_as_it_was() -> None:
    for size in (20, 100, 1000):
        wanted = Assumptions(roster=size)
        assert choose(size, wanted) == choose(size)
        assert committee_size(size, wanted) == committee_size(size, Assumptions())
