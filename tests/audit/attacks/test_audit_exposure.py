"""Poisoning for exposure as algorithms: what is sent lifts the target, and spends no more than it may."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.audit.attacks.exposure import exposed, mined, profiles, promoted_pairs, promotion, scaled
from fedrec.config import ModelSettings
from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.recommender import Recommender
from fedrec.training.tables import Tables
from fedrec.users import Histories

ITEMS, WIDTH, TARGET = 40, 12, 7


@pytest.fixture
def features() -> Features:
    values = np.random.default_rng(0).normal(size=(ITEMS, WIDTH)).astype(np.float32)
    ids = tuple(f"i{place}" for place in range(ITEMS))
    return Features(ids, ids, {"text": values}, {"text": np.ones(ITEMS, np.bool_)})


@pytest.fixture
def model(features: Features) -> Recommender:
    return Recommender(ModelSettings(dimension=8), features.shapes, seed=0, temperature=0.1)


def vectors(model: Recommender, features: Features) -> torch.Tensor:
    places = np.arange(ITEMS)[None]
    with torch.no_grad():
        return model.encode_items(Tables(features).batch(places, np.ones(places.shape, np.bool_)))[0]


def rank_of_target(model: Recommender, features: Features, histories: torch.Tensor) -> float:
    items = vectors(model, features)
    scores = profiles(items, histories) @ items.T
    return float((scores > scores[:, [TARGET]]).sum(1).double().mean())


def histories(seed: int) -> torch.Tensor:
    return torch.randint(ITEMS, (100, 16), generator=torch.Generator().manual_seed(seed))


def test_a_server_that_descends_the_update_ranks_the_target_higher_for_anybody(
    model: Recommender, features: Features
) -> None:
    before = rank_of_target(model, features, histories(9))
    values = parameters.flatten(model).astype(np.float64)
    for step in range(30):
        direction = promotion(model, features, TARGET, users=64, k=10, seed=step)
        assert np.linalg.norm(direction) == pytest.approx(1.0)
        values -= 0.1 * direction
        parameters.unflatten(model, values)
    assert before > 10
    assert rank_of_target(model, features, histories(9)) < before / 4


def test_mined_users_are_harder_than_random_ones(model: Recommender, features: Features) -> None:
    found = mined(vectors(model, features), TARGET, users=100, k=10, temperature=0.1, seed=1)
    assert rank_of_target(model, features, found) > rank_of_target(model, features, histories(1)) + 5
    assert found.shape == (100, 16)
    assert (found != TARGET).all()


def test_a_target_beyond_the_catalogue_is_refused(model: Recommender, features: Features) -> None:
    with pytest.raises(ModelError):
        promotion(model, features, ITEMS, users=4, k=10, seed=0)


@given(st.integers(2, 30), st.data())
def test_pairs_go_to_the_targets_row_of_the_matrix_and_nowhere_else(count: int, data: st.DataObject) -> None:
    items = np.sort(np.random.default_rng(count).permutation(100)[:count]).astype(np.int64)
    target = int(items[data.draw(st.integers(0, count - 1))])
    vector = promoted_pairs(target, items, np.arange(1.0, count + 1))
    matrix = np.zeros((count, count))
    matrix[np.triu_indices(count)] = vector
    matrix = matrix + matrix.T
    place = int(np.flatnonzero(items == target)[0])
    weights = np.arange(1.0, count + 1)
    weights[place] = 0.0
    np.testing.assert_allclose(matrix[place], weights / np.linalg.norm(weights))
    matrix[place], matrix[:, place] = 0.0, 0.0
    assert not matrix.any()


def test_a_target_that_takes_no_part_gets_no_pairs() -> None:
    assert not promoted_pairs(5, np.array([1, 4, 9]), np.ones(3)).any()


@settings(max_examples=30)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_scaling_meets_the_norm_and_leaves_zero(values: list[float], norm: float) -> None:
    vector = np.array(values)
    length = np.linalg.norm(scaled(vector, norm))
    assert length == pytest.approx(norm if np.linalg.norm(vector) else 0.0)


def test_exposure_counts_unseen_lists_only() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], dtype=np.float32)
    seen = Histories.of([[], [], [0]])
    assert exposed(scores, 0, seen, 1).tolist() == [True, False]
    assert exposed(scores, 1, seen, 1).tolist() == [False, False, True]
