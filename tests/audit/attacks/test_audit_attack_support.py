"""Id-embedding updates: support, sign, and the bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.audit.attacks.figures import auc
from fedrec.audit.attacks.support import id_update, support, support_scores

ITEMS, WIDTH = 80, 8


def device(seed: int, count: int, bound: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    own = rng.choice(ITEMS, count, replace=False).astype(np.int32)
    table = rng.normal(0, 0.35, (ITEMS, WIDTH))
    return own, id_update(table, own, negatives=4, bound=bound, rng=rng)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 15), bound=st.floats(1e-3, 10))
def test_exactly_the_rows_of_items_and_negatives_move_within_the_bound(seed: int, count: int, bound: float) -> None:
    own, update = device(seed, count, bound)
    moved = support(update)
    assert moved[own].all()
    assert moved.sum() == 5 * count
    assert np.linalg.norm(update) <= bound * (1 + 1e-9)


def test_the_sign_parts_interactions_from_negatives() -> None:
    found = []
    for seed in range(20):
        own, update = device(seed, 12)
        found.append(auc(support_scores(update), np.isin(np.arange(ITEMS), own)))
    assert np.mean(found) > 0.98


def test_noise_as_large_as_a_row_hides_the_support() -> None:
    found = []
    for seed in range(40):
        own, update = device(seed, 12)
        noisy = update + np.random.default_rng([seed, 1]).normal(0, 1.0, update.shape)
        assert support(noisy).all()
        found.append(auc(support_scores(noisy), np.isin(np.arange(ITEMS), own)))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_a_device_that_touched_everything_draws_no_negatives() -> None:
    rng = np.random.default_rng(0)
    update = id_update(np.ones((5, 2)), np.arange(5, dtype=np.int32), negatives=4, bound=1.0, rng=rng)
    assert support(update).all()
    assert not support_scores(np.zeros((5, 2))).any()
