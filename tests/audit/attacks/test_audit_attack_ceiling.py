"""No attack exceeds what the noise allows: known answers, and optimal tests that reach the ceiling."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from fedrec.audit.attacks.ceiling import greatest_auc
from fedrec.audit.attacks.figures import auc
from fedrec.privacy.accountant import QueryCost


def test_gaussian_noise_by_hand() -> None:
    """Four rounds of z = 4 and one of z = 2 are mu^2 = 1/4 + 1/4."""
    costs = [QueryCost("training", 4.0, rounds=4), QueryCost("popularity", 2.0)]
    mu = math.sqrt(0.5)
    assert greatest_auc(costs) == pytest.approx(norm.cdf(mu / math.sqrt(2)))
    assert greatest_auc(costs, changed=2) == pytest.approx(norm.cdf(math.sqrt(2) * mu))
    assert greatest_auc([]) == 1.0


def test_a_row_counts_for_its_own_turns_only() -> None:
    cyclic = QueryCost("training", 4.0, rounds=20, sampling="cyclic", probability=0.2, minimum_separation=5)
    assert greatest_auc([cyclic]) == pytest.approx(greatest_auc([QueryCost("training", 4.0, rounds=4)]))


def test_the_curve_gives_what_the_formula_gives_where_sampling_hides_nearly_nothing() -> None:
    amplified = [QueryCost("training", 3.0, rounds=5, sampling="poisson", probability=1 - 1e-9)]
    for changed in (1, 2):
        exact = greatest_auc([QueryCost("training", 3.0, rounds=5)], changed=changed)
        assert exact <= greatest_auc(amplified, changed=changed) <= exact + 0.005


def test_the_best_test_of_a_sampled_release_stays_below() -> None:
    """One round, a row there with chance q: the likelihood ratio rises with the sum, which is the best score."""
    chance, noise, trials = 0.3, 0.7, 100_000
    rng = np.random.default_rng(6)
    there = np.arange(trials) < trials // 2
    sums = rng.normal(0, noise, trials) + there * (rng.random(trials) < chance)
    best = auc(sums, there)
    ceiling = greatest_auc([QueryCost("training", noise, sampling="poisson", probability=chance)])
    assert best - 0.005 < ceiling < greatest_auc([QueryCost("training", noise)])
    assert best == pytest.approx(0.5 + chance * (norm.cdf(1 / noise / math.sqrt(2)) - 0.5), abs=0.006)
