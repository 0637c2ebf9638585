"""Attribute inference: it finds what is there, and nothing where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.audit.attacks.attributes import cross_validated, disaggregate, principal
from fedrec.audit.attacks.figures import across_folds, auc, auc_interval

USERS, WIDTH = 300, 40


def people(signal: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    labels = rng.random(USERS) < 0.3
    features = rng.normal(size=(USERS, WIDTH))
    features[:, 7] += signal * labels
    return features, labels


def test_a_classifier_finds_a_difference_and_no_more() -> None:
    for signal, low, high in ((3.0, 0.9, 1.0), (0.0, 0.38, 0.62)):
        features, labels = people(signal)
        found = auc(
            cross_validated(principal(features, 20 if signal else 10), labels, np.random.default_rng(0)), labels
        )
        assert low <= found <= high


def test_nobody_is_scored_by_a_classifier_that_knew_the_answer() -> None:
    """As many random features as users fit any labels; held-out users are still scored at chance."""
    rng = np.random.default_rng(0)
    labels = rng.random(USERS) < 0.5
    scores = cross_validated(rng.normal(size=(USERS, USERS)), labels, rng, ridge=1e-3)
    assert auc(scores, labels) == pytest.approx(0.5, abs=0.12)


def test_without_features_everybody_is_alike() -> None:
    assert not cross_validated(np.zeros((10, 0)), np.arange(10) < 5, np.random.default_rng(0)).any()


def test_principal_components_leave_out_what_does_not_vary() -> None:
    same = np.tile(np.random.default_rng(0).normal(size=WIDTH), (USERS, 1))
    assert principal(same, 5).shape == (USERS, 0)
    features, _ = people(0.0)
    found = principal(features, 5)
    assert found[:, 0].std() == pytest.approx(1, rel=1e-6)
    assert np.allclose(found.T @ found, np.diag(np.diag(found.T @ found)), atol=1e-6 * USERS)


def test_sums_over_known_cohorts_come_apart_and_under_noise_do_not() -> None:
    rng = np.random.default_rng(3)
    updates = rng.normal(size=(60, 5))
    cohorts = (rng.random((400, 60)) < 0.2).astype(float)
    found = disaggregate(cohorts, cohorts @ updates, ridge=1e-6)
    wanted = updates - updates.mean(0)
    assert np.corrcoef((found - found.mean(0)).ravel(), wanted.ravel())[0, 1] > 0.99
    noisy = disaggregate(cohorts, cohorts @ updates + rng.normal(0, 300, (400, 5)), ridge=1e-6)
    assert abs(np.corrcoef(noisy.ravel(), wanted.ravel())[0, 1]) < 0.25


def test_those_always_together_are_told_apart_by_nothing() -> None:
    cohorts = np.ones((5, 4))
    assert np.allclose(disaggregate(cohorts, np.random.default_rng(0).normal(size=(5, 3))), 0)


@pytest.mark.slow
def test_where_there_is_nothing_to_infer_the_interval_says_so() -> None:
    """Of 100 attributes that are coins, the widened interval covers chance about as often as it says."""
    covered = {"as given": 0, "widened": 0}
    for number in range(100):
        rng = np.random.default_rng([7, number])
        labels = rng.random(100) < 0.5
        scores = cross_validated(rng.normal(size=(100, 20)), labels, rng)
        given = auc_interval(scores, labels, rng, resamples=100)
        for name, found in (("as given", given), ("widened", across_folds(given, 5))):
            covered[name] += found.low <= 0.5 <= found.high
    assert covered["as given"] < 90
    assert covered["widened"] >= 90
