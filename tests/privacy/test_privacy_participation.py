"""Participation held to what was accounted: what honest sampling gives passes, what it never gives does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.ledger_entry import LedgerEntry
from fedrec.privacy.participation import check_participation, check_rounds, draws_implausible

POISSON = QueryCost("training", 1.0, 1, "poisson", 0.1)
FIXED = QueryCost("training", 1.0, 1, "fixed", 0.1)
FULL = QueryCost("training", 1.0)


def rows(cost: QueryCost, asked: Sequence[int], population: int = 1000, **detail: Any) -> list[LedgerEntry]:
    facts = {
        "population": population,
        "sampling": cost.sampling,
        "probability": cost.probability,
        "gap": None,
        **detail,
    }
    return [
        LedgerEntry(
            cost.query, number, cost, {"asked": n, "survivors": n, "cohort": f"cohort {number}", **facts}, number
        )
        for number, n in enumerate(asked, start=1)
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.floats(0.01, 0.99), st.integers(20, 5000))
def test_honest_poisson_sampling_always_passes(seed: int, rounds: int, probability: float, population: int) -> None:
    cost = QueryCost("training", 1.0, 1, "poisson", probability)
    asked = np.random.default_rng(seed).binomial(population, probability, rounds)
    assert check_participation(rows(cost, [int(n) for n in asked], population)) == []


@pytest.mark.parametrize("factor", [2 / 3, 3 / 2])
def test_another_probability_than_accounted_is_found(factor: float) -> None:
    asked = np.random.default_rng(1).binomial(1000, 0.1 * factor, 40)
    assert check_participation(rows(POISSON, [int(n) for n in asked]))


def test_a_slant_too_small_for_one_round_is_found_over_all() -> None:
    assert check_participation(rows(POISSON, [110])) == []
    found = check_participation(rows(POISSON, [110] * 60))
    assert [("in all rounds" in problem) for problem in found] == [True]


def test_a_cohort_that_is_not_drawn_anew_is_found() -> None:
    same = rows(POISSON, [100, 101], cohort="x")
    assert "not drawn anew" in check_participation(same)[0]
    # Nobody of three with probability 0.1 is drawn again and again: that is nothing strange.
    assert check_participation(rows(POISSON, [0, 0, 0], 3, cohort="x")) == []


def test_full_means_everybody_in_every_round() -> None:
    assert check_participation(rows(FULL, [1000, 1000], cohort="all")) == []
    assert "999 of 1000" in check_participation(rows(FULL, [1000, 999], cohort="all"))[0]
    assert "cohorts differ" in check_participation(rows(FULL, [1000, 1000]))[0]
    everybody = QueryCost("training", 1.0, 1, "poisson", 1.0)
    assert check_participation(rows(everybody, [1000], sampling="full", cohort="all")) == []


def test_fixed_means_one_size() -> None:
    assert check_participation(rows(FIXED, [100, 100])) == []
    assert "different sizes" in check_participation(rows(FIXED, [100, 101]))[0]


@pytest.mark.parametrize("change", [{"sampling": "fixed"}, {"probability": 0.2}, {"survivors": 1001}, {"cohort": None}])
def test_rows_that_contradict_themselves_are_found(change: dict[str, Any]) -> None:
    assert check_participation(rows(POISSON, [100], **change))


def test_the_population_does_not_change() -> None:
    assert check_participation(rows(FULL, [9], 9, cohort="a") + rows(QueryCost("metrics", 1.0), [8], 8, cohort="b"))


def test_rounds_are_charged_once_and_in_a_row() -> None:
    honest = rows(FULL, [5, 5, 5])
    assert check_rounds(honest) == []
    assert "charged twice" in check_rounds([*honest, honest[1]])[0]
    repeat = LedgerEntry("training", 2, FULL, {**honest[1].detail, "repeat": 1}, 4)
    assert check_rounds([*honest, repeat]) == []
    assert "no row for round 2" in check_rounds([honest[0], honest[2]])[0]
    assert "2 rounds at once" in check_rounds([LedgerEntry("training", 1, QueryCost("training", 1.0, 2), {}, 1)])[0]


def test_a_device_knows_when_it_is_drawn_too_often() -> None:
    assert not draws_implausible(0, 100, 0.01)
    assert not draws_implausible(5, 100, 0.01)
    assert draws_implausible(15, 100, 0.01)
    assert not draws_implausible(100, 100, 1.0)


def test_cyclic_means_participations_as_far_apart_as_accounted() -> None:
    cost = QueryCost("training", 1.0, 1, "cyclic", 0.25, 4)

    def participations(gaps: Sequence[int | None], cohorts: str) -> list[LedgerEntry]:
        made = rows(cost, [250] * len(gaps))
        return [
            LedgerEntry(row.query, row.round, cost, {**row.detail, "gap": gap, "cohort": cohort}, row.number)
            for row, gap, cohort in zip(made, gaps, cohorts, strict=True)
        ]

    assert check_participation(participations([None] * 4 + [4, 4], "abcdab")) == []
    assert "asked again after 3 rounds" in check_participation(participations([None] * 4 + [4, 3], "abcdaz"))[0]
    assert "does not say how long ago" in check_participation(participations([None] * 6, "abcdab"))[0]
    assert "a cohort had 3 participations" in check_participation(participations([None] * 4 + [4, 4], "abadaz"))[0]


def test_what_claims_nothing_for_the_draw_may_be_drawn_anyhow() -> None:
    assert check_participation(rows(FIXED, [90, 110], sampling="poisson")) == []
    assert check_participation(rows(FIXED, [1000, 1000], sampling="full"))


SECRET = QueryCost("training", 1.0, 1, "fixed", 0.1, secret=True)


def test_secret_cohorts_are_held_to_their_size_and_to_be_drawn_anew() -> None:
    assert check_participation(rows(SECRET, [100] * 5)) == []
    assert "accounted was a share" in check_participation(rows(SECRET, [120] * 5))[0]
    assert "not drawn anew" in check_participation(rows(SECRET, [100] * 2, cohort="x"))[0]
    assert check_participation(rows(FIXED, [100] * 2, cohort="x")) == []
    poisson = rows(SECRET, [100] * 5, sampling="poisson")
    assert "accounted as fixed" in check_participation(poisson)[0]
    assert check_participation(rows(FIXED, [100] * 5, sampling="poisson")) == []
    few = [row for n in range(30) for row in rows(QueryCost("training", 1.0, 1, "fixed", 0.5, secret=True), [1], 2)]
    assert check_participation(few) == []  # of two cohorts of one, one comes often


def dealt(sizes: Sequence[int], groups: int, rounds: int) -> list[LedgerEntry]:
    cost = QueryCost("training", 1.0, 1, "balls-in-bins", 1 / groups, groups, secret=True)
    asked = [sizes[number % groups] for number in range(rounds)]
    found = rows(cost, asked, sum(sizes))
    for number, row in enumerate(found):
        row.detail.update(cohort=f"cohort {number % groups}", gap=groups if number >= groups else None)
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 20))
def test_honest_dealing_always_passes(seed: int, groups: int) -> None:
    sizes = np.bincount(np.random.default_rng(seed).integers(groups, size=500), minlength=groups)
    assert check_participation(dealt([int(n) for n in sizes], groups, 3 * groups)) == []


def test_dealing_that_is_not_even_or_not_kept_is_found() -> None:
    assert "does not give" in check_participation(dealt([300, 50, 75, 75], 4, 8))[0]
    again = dealt([125] * 4, 4, 8)
    again[5].detail.update(gap=3)
    assert "asked again after 3" in check_participation(again)[0]


def in_turn(asked: Sequence[int], groups: int, probability: float, gaps: Sequence[int | None]) -> list[LedgerEntry]:
    found = rows(QueryCost("training", 1.0, 1, "cyclic-poisson", probability, groups), asked)
    for row, gap in zip(found, gaps, strict=True):
        row.detail["gap"] = gap
    return found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 20), st.floats(0.05, 1.0))
def test_honest_samples_of_groups_pass(seed: int, groups: int, probability: float) -> None:
    asked = np.random.default_rng(seed).binomial(1000 // groups, probability, 3 * groups)
    gaps = [None] * groups + [groups] * groups + [2 * groups] * groups
    assert check_participation(in_turn([int(n) for n in asked], groups, probability, gaps)) == []


def test_samples_that_are_not_of_the_group_whose_turn_it_is_are_found() -> None:
    assert "of 4 groups" in check_participation(in_turn([25] * 3, 4, 0.1, [None, None, 2]))[0]
    assert "does not give" in check_participation(in_turn([100] * 3, 4, 0.1, [None] * 3))[0]
