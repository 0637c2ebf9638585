"""The rule by which a reading is taken, and that readings are made once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.collaborative.choice import choose, combined
from fedrec.collaborative.reading import PaidFactors
from fedrec.collaborative.readings import readings
from fedrec.config import CollaborativeSettings
from fedrec.content.feature_table import Features

NAMES = ("first", "second", "third")


def test_without_noise_the_best_is_taken() -> None:
    found = choose(np.array([0.10, 0.30, 0.20]), 0.0, NAMES, "first")
    assert found.chosen == "second"
    assert found.advantages == pytest.approx({"first": -0.1, "second": 0.1, "third": 0.0})
    assert found.over("first") == pytest.approx(0.2)
    assert "better than first" in found.reason


def test_the_default_stays_where_noise_explains_the_difference() -> None:
    ahead, noise = 0.01, 0.01
    advantages = np.array([0.0, ahead, 0.0])
    assert ahead < noise * math.sqrt(2)
    assert choose(advantages, noise, NAMES, "first").chosen == "first"
    assert choose(advantages, noise / 2, NAMES, "first").chosen == "second"
    assert choose(advantages, noise, NAMES, "first", caution=0.5).chosen == "second"
    assert choose(advantages, noise, NAMES, "second").chosen == "second"


def test_of_candidates_that_are_alike_the_default_is_taken() -> None:
    assert choose(np.zeros(3), 0.0, NAMES, "second").chosen == "second"


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.floats(0, 3),
    st.sampled_from(NAMES),
    st.floats(-5, 5),
)
def test_what_all_have_in_common_decides_nothing(
    advantages: list[float], sigma: float, caution: float, default: str, common: float
) -> None:
    found = choose(np.array(advantages), sigma, NAMES, default, caution=caution)
    assert sum(found.advantages.values()) == pytest.approx(0.0, abs=1e-12)
    if found.chosen != default:
        assert found.over(default) > found.margin
        moved = choose(np.array(advantages) + common, sigma, NAMES, default, caution=caution)
        assert moved.chosen in (default, found.chosen) or moved.over(found.chosen) == pytest.approx(0.0, abs=1e-9)


def test_candidates_that_are_alike_leave_the_default_as_rarely_as_noise_says() -> None:
    """Of two alike candidates the other one is taken where a normal number exceeds the caution: in 16 of 100 draws."""
    noise = np.random.default_rng(1).normal(0.0, 0.02, (4000, 2))
    left = sum(choose(drawn, 0.02, NAMES[:2], "first").chosen != "first" for drawn in noise) / len(noise)
    assert left == pytest.approx(0.1587, abs=4 * math.sqrt(0.1587 * 0.8413 / len(noise)))


def test_readings_that_differ_in_weights_only_share_one_table() -> None:
    rng = np.random.default_rng(2)
    popularity = rng.uniform(1, 5, 9)
    sums = PaidFactors(
        popularity, popularity / np.linalg.norm(popularity), popularity, rng.normal(size=(9, 2)), np.eye(9)
    )
    features = Features(tuple("abcdefghi"), ("",) * 9, {}, {})
    base = CollaborativeSettings.model_validate({"fold_in": {"rank": 2}})
    changes = (
        {},
        {"scoring": {"weight": 0.1, "recency": 1.0, "popularity_weight": 0.5}, "fold_in": {"rank": 2, "weight": 0.2}},
        {"scoring": {"discount": 0.5}},
        {"solver": {"ridge": 1.0}},
    )
    trees = [base.model_dump() | change for change in changes]
    tables = readings(sums, [CollaborativeSettings.model_validate(tree) for tree in trees], features)
    assert tables[0] is tables[1]
    assert len({id(table) for table in tables}) == 3


CHANGES = {
    "first": frozenset[str](),
    "second": frozenset({"recency"}),
    "third": frozenset({"discount"}),
    "fourth": frozenset({"discount"}),
    "alone": frozenset({"weight", "popularity"}),
}


def together(advantages: list[float], sigma: float = 0.0, sampling: float = 0.0) -> str:
    choice = choose(np.array(advantages), sigma, tuple(CHANGES), "first")
    return combined(choice, CHANGES, ["first", "alone"], sampling=sampling).chosen


def test_changes_about_different_things_are_taken_together_the_best_first() -> None:
    assert together([0.0, 0.1, 0.2, 0.15, -0.3]) == "third + second"
    assert together([0.0, 0.1, -0.2, -0.1, -0.3]) == "second"


def test_nothing_is_taken_beside_a_candidate_that_stands_alone() -> None:
    assert together([0.0, 0.1, 0.2, 0.15, 0.3]) == "alone"
    assert together([0.0, 0.1, 0.2, 0.15, 0.18]) == "third + second"


def test_what_noise_or_the_sample_of_users_explains_is_not_taken() -> None:
    """The margin is 0.005 (2 noise^2 + sample^2) / 0.01^2: 0.16 for a noise of 0.04, or a sample's of 0.0566."""
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sigma=0.04) == "third"
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sampling=0.04 * math.sqrt(2)) == "third"
    assert together([0.0, 0.1, 0.2, 0.15, -0.3], sigma=0.05) == "first"


@given(st.lists(st.floats(-1, 1), min_size=5, max_size=5), st.floats(0, 0.1), st.floats(0, 0.1))
def test_whatever_is_taken_beats_the_default_and_no_topic_comes_twice(
    advantages: list[float], sigma: float, sampling: float
) -> None:
    choice = choose(np.array(advantages), sigma, tuple(CHANGES), "first")
    found = combined(choice, CHANGES, ["first", "alone"], sampling=sampling)
    taken = found.chosen.split(" + ")
    topics = [topic for name in taken for topic in CHANGES[name]]
    assert len(topics) == len(set(topics))
    assert taken == ["first"] or all(
        found.advantages[name] - found.advantages["first"] > found.margin for name in taken
    )
