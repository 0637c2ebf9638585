"""Changes taken together: of different things, the best first, and none that noise explains."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.collaborative.choice import Choice
from fedrec.collaborative.combined_choice import INTERPLAY, combined, margin_of

CHANGES = {
    "first": frozenset[str](),
    "second": frozenset({"recency"}),
    "third": frozenset({"discount"}),
    "fourth": frozenset({"discount"}),
    "alone": frozenset({"weight", "popularity"}),
}


def choice_of(advantages: list[float], sigma: float) -> Choice:
    known = dict(zip(CHANGES, advantages, strict=True))
    return Choice("first", "first", known, sigma, known, dict.fromkeys(known, sigma), 0.0, "")


def together(advantages: list[float], sigma: float = 0.0, sampling: float = 0.0) -> str:
    choice = choice_of(advantages, sigma)
    return combined(choice, CHANGES, ["first", "alone"], sampling=sampling).chosen


def test_changes_about_different_things_are_taken_together_the_best_first() -> None:
    assert together([0.0, 0.01, 0.02, 0.015, -0.03]) == "third + second"
    assert together([0.0, 0.01, -0.02, -0.01, -0.03]) == "second"


def test_beside_a_large_gain_a_small_one_that_may_mend_the_same_thing_is_not_taken() -> None:
    """The margin beside a gain g is 0.005 (INTERPLAY g)^2 / 0.01^2: 0.02 for 0.04."""
    assert margin_of((INTERPLAY * 0.04) ** 2) == pytest.approx(0.02)
    assert together([0.0, 0.04, 0.0195, 0.006, -0.03]) == "second"
    assert together([0.0, 0.04, 0.0205, 0.006, -0.03]) == "second + third"
    assert together([0.0, 0.004, 0.0005, 0.0, -0.03]) == "second + third"


def test_nothing_is_taken_beside_a_candidate_that_stands_alone() -> None:
    assert together([0.0, 0.01, 0.02, 0.015, 0.03]) == "alone"
    assert together([0.0, 0.01, 0.02, 0.015, 0.018]) == "third + second"


def test_what_noise_or_the_sample_of_users_explains_is_not_taken() -> None:
    """The margin is 0.005 (2 noise^2 + sample^2) / 0.01^2: 0.16 for a noise of 0.04, or a sample's of 0.0566."""
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sigma=0.04) == "third"
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sampling=0.04 * math.sqrt(2)) == "third"
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sigma=0.05) == "first"


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(0, 0.1), st.floats(0, 0.1))
def test_whatever_is_taken_beats_the_default_and_no_topic_comes_twice(
    advantages: list[float], sigma: float, sampling: float
) -> None:
    choice = choice_of(advantages, sigma)
    found = combined(choice, CHANGES, ["first", "alone"], sampling=sampling)
    taken = found.chosen.split(" + ")
    topics = [topic for name in taken for topic in CHANGES[name]]
    assert len(topics) == len(set(topics))
    assert taken == ["first"] or all(
        found.advantages[name] - found.advantages["first"] > found.margin for name in taken
    )
