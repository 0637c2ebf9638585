"""Paid sums and the ways of reading them."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.collaborative.reading import PaidCooccurrence, PaidFactors, PaidSums, read
from fedrec.collaborative.solve import solve
from fedrec.config import CollaborativeSettings
from fedrec.content.feature_table import Features

ITEMS = 12


@pytest.fixture
def features() -> Features:
    rng = np.random.default_rng(3)
    values = {"text": rng.standard_normal((ITEMS, 4)).astype(np.float32)}
    ids = tuple(f"i{item}" for item in range(ITEMS))
    return Features(ids, ids, values, {"text": np.ones(ITEMS, np.bool_)})


@pytest.fixture
def paid() -> PaidFactors:
    rng = np.random.default_rng(4)
    popularity = rng.uniform(1, 5, ITEMS)
    centre = popularity / np.linalg.norm(popularity)
    found, content = rng.standard_normal((ITEMS, 3)), rng.standard_normal((ITEMS, 4))
    return PaidFactors(popularity, centre, popularity / popularity.mean(), found, content)


def _settings(**sections: object) -> CollaborativeSettings:
    return CollaborativeSettings.model_validate(sections)


def test_popularity_alone_has_no_factors(features: Features) -> None:
    factors = read(PaidSums(np.arange(ITEMS, dtype=np.float64)), _settings(scoring={"discount": 0.5}), features)
    assert factors.rank == 0
    assert factors.popularity.tolist() == list(range(ITEMS))


def test_a_cooccurrence_is_solved_and_discounted(features: Features) -> None:
    rng = np.random.default_rng(5)
    root = rng.standard_normal((ITEMS, 3))
    sums = PaidCooccurrence(rng.uniform(1, 5, ITEMS), root @ root.T, np.arange(ITEMS), noisy=True)
    settings = _settings(prior={"weight": 0.3, "modalities": {"text": 1.0}}, scoring={"discount": 0.4})
    wanted = solve(sums.popularity, sums.matrix, sums.items, settings, features=features, noisy=True).discounted(0.4)
    found = read(sums, settings, features)
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(found.arrays()[name], array)


def test_what_was_found_and_the_prior_weigh_as_the_settings_say(paid: PaidFactors, features: Features) -> None:
    settings = _settings(power_iteration={"scale": 2.0}, prior={"weight": 0.5, "modalities": {"text": 1.0}})
    whole = paid.joined(settings)
    popular = paid.centre * (paid.popularity @ paid.centre) / np.sqrt(paid.mass.sum())
    wanted = np.outer(popular, popular) + 2.0 * paid.found @ paid.found.T
    kernel = np.sqrt(paid.mass)[:, None] * paid.content
    np.testing.assert_allclose(whole @ whole.T, wanted + 0.5 * kernel @ kernel.T, rtol=1e-10)


def test_the_same_sums_are_read_in_many_ways(paid: PaidFactors, features: Features) -> None:
    plain = read(paid, _settings(), features)
    ridged = read(paid, _settings(solver={"ridge": 100.0}), features)
    folded = read(paid, _settings(fold_in={"rank": 2}), features)
    factorised = read(paid, _settings(solver={"method": "als", "ridge": 0.1}), features)
    assert np.abs(ridged.history).max() < np.abs(plain.history).max()
    assert plain.factors is None
    assert folded.factors is not None and folded.factors.shape == (ITEMS, 2)
    np.testing.assert_array_equal(factorised.history, factorised.candidate)
    np.testing.assert_array_equal(plain.popularity, ridged.popularity)


def test_another_kernel_changes_what_is_joined_and_not_what_was_found(paid: PaidFactors, features: Features) -> None:
    settings = _settings(prior={"weight": 0.5, "modalities": {"text": 2.0}})
    seen = paid.with_content(features, settings.prior)
    unit = features.values["text"] / np.linalg.norm(features.values["text"], axis=1, keepdims=True)
    np.testing.assert_allclose(seen.content @ seen.content.T, 2.0 * unit @ unit.T, rtol=1e-5)
    assert seen.found is paid.found and seen.mass is paid.mass
    assert PaidSums(paid.popularity).with_content(features, settings.prior).popularity is paid.popularity
