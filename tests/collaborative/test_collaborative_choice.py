"""The rule by which a reading is taken, and that readings are made once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedrec.collaborative.choice import choose
from fedrec.collaborative.reading import PaidFactors
from fedrec.collaborative.readings import readings
from fedrec.collaborative.smoothing import alike, smoothed
from fedrec.config import CollaborativeSettings
from fedrec.content.feature_table import Features

NAMES = ("first", "second", "third")
# Candidates that have no setting in common, so that none says anything of another.
APART = {name: {"solver": {"ridge": float(place)}} for place, name in enumerate(NAMES)}


def test_without_noise_the_best_is_taken() -> None:
    found = choose(np.array([0.10, 0.30, 0.20]), 0.0, APART, "first")
    assert found.chosen == "second"
    assert found.advantages == pytest.approx({"first": -0.1, "second": 0.1, "third": 0.0})
    assert found.smoothed == pytest.approx(found.advantages)
    assert found.over("first") == pytest.approx(0.2)
    assert "better than first" in found.reason


def test_the_default_stays_where_noise_explains_the_difference() -> None:
    advantages = np.array([0.0, 0.01, 0.0])
    assert choose(advantages, 0.01, APART, "first").chosen == "first"
    assert choose(advantages, 0.001, APART, "first").chosen == "second"
    assert choose(advantages, 0.01, APART, "second").chosen == "second"
    assert choose(np.array([0.0, 0.03, 0.0]), 0.01, APART, "first", caution=10).chosen == "first"


def test_of_candidates_that_are_alike_the_default_is_taken() -> None:
    assert choose(np.zeros(3), 0.0, APART, "second").chosen == "second"
    assert choose(np.zeros(3), 0.1, APART, "third").chosen == "third"


@given(
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.floats(0, 3),
    st.sampled_from(NAMES),
    st.floats(-5, 5),
)
def test_another_than_the_default_is_ahead_by_more_than_the_margin(
    advantages: list[float], sigma: float, caution: float, default: str, common: float
) -> None:
    found = choose(np.array(advantages) + common, sigma, APART, default, caution=caution)
    assert sum(found.advantages.values()) == pytest.approx(0.0, abs=1e-9)
    assert sum(found.smoothed.values()) == pytest.approx(0.0, abs=1e-9)
    if found.chosen != default:
        assert found.over(default) > found.margin
        assert found.margin == pytest.approx(caution * found.deviations[default])


def test_candidates_that_are_alike_rarely_leave_the_default() -> None:
    """Of two alike candidates the other one is taken in about 12 of 100 draws; unsmoothed it would be 16, or half."""
    noise = np.random.default_rng(1).normal(0.0, 0.02, (1000, 2))
    two = {name: APART[name] for name in NAMES[:2]}
    left = sum(choose(drawn, 0.02, two, "first").chosen != "first" for drawn in noise) / len(noise)
    assert left < 0.17


def test_little_noise_changes_nothing() -> None:
    advantages = np.random.default_rng(2).normal(0, 1, 6)
    mean, covariance = smoothed(advantages, 1e-4, np.eye(6))
    np.testing.assert_allclose(mean, advantages - advantages.mean(), atol=1e-3)
    assert np.abs(covariance).max() <= 1e-8


def test_candidates_that_share_settings_are_smoothed_together() -> None:
    """Two settings of three values each, which add up: smoothing comes nearer to the truth than the noisy means."""
    trees = [{"solver": {"ridge": one}, "scoring": {"discount": two}} for one in range(3) for two in range(3)]
    similarity = alike(trees)
    np.testing.assert_allclose(similarity[0], [1, 0.5, 0.5, 0.5, 0, 0, 0.5, 0, 0])
    truth = np.add.outer([0.0, 0.02, 0.05], [0.0, 0.01, -0.03]).ravel()
    truth -= truth.mean()
    rng, noise = np.random.default_rng(3), 0.02
    raw, better = [], []
    for _ in range(200):
        noisy = truth + rng.normal(0, noise, 9)
        raw.append(((noisy - noisy.mean() - truth) ** 2).mean())
        better.append(((smoothed(noisy, noise, similarity)[0] - truth) ** 2).mean())
    assert np.mean(better) < 0.75 * np.mean(raw)


def test_a_section_that_one_candidate_lacks_is_one_setting() -> None:
    similarity = alike(
        [{"fold_in": None, "solver": {"ridge": 1}}, {"fold_in": {"rank": 3, "weight": 1}, "solver": {"ridge": 1}}]
    )
    np.testing.assert_array_equal(similarity, np.eye(2))
    np.testing.assert_array_equal(alike([{"solver": {"ridge": 1}}] * 2), np.ones((2, 2)))


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
