"""Pools of negatives: drawn with exactly the chances that the correction divides by."""

from __future__ import annotations

import numpy as np
import pytest
import query_cases
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedrec.config import from_tree
from fedrec.errors import ConfigError, ProtocolError
from fedrec.model.losses import loss_per_row
from fedrec.model.rows import ItemBatch, Rows
from fedrec.queries import model_update, negatives

WEIGHTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@given(weights=WEIGHTS, size=st.integers(1, 14))
def test_over_all_starts_each_item_is_chosen_as_often_as_its_chance_says(weights: list[int], size: int) -> None:
    """Exact: all starts of the systematic sample are tried, none is left to luck."""
    given_ = np.array(weights, np.int32)
    chance = negatives.inclusion(given_, size)
    assert chance.sum() == pytest.approx(min(size, len(weights)))
    rest = np.flatnonzero(chance < 1)
    left, total = size - int((chance == 1).sum()), int(given_[rest].sum())
    hits = np.zeros(len(weights), np.int64)
    for start in range(total):
        chosen = negatives.systematic(given_[rest].astype(np.int64), left, start)
        assert len(set(chosen)) == len(chosen) == left
        hits[rest[chosen]] += 1
    np.testing.assert_allclose(hits[rest], chance[rest] * total, atol=1e-9)
    assert ((chance > 0) & (chance <= 1)).all()


def test_the_pool_of_many_rounds_has_each_item_as_often_as_its_chance_says() -> None:
    weights = negatives.weights_of(np.array([900.0, 300, 90, 30, 9, 3, 1, 0, 0, 0]), 0.75)
    chance, rounds = negatives.inclusion(weights, 3), 4000
    pools = [negatives.weighted(5, number, weights, 3) for number in range(rounds)]
    assert all(len(pool) == 3 and (np.diff(pool) > 0).all() for pool in pools)
    found = np.bincount(np.concatenate(pools), minlength=10) / rounds
    spread = np.sqrt(chance * (1 - chance) / rounds)
    assert (np.abs(found - chance) <= 4.5 * spread + 1e-12).all()
    assert chance[0] == 1
    assert (np.abs(found - 0.3) > 4.5 * np.sqrt(0.21 / rounds)).any()  # not the chances of a uniform draw


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.floats(0, 1))
def test_weights_are_whole_within_their_bounds_and_keep_the_order(counts: list[float], power: float) -> None:
    weights = negatives.weights_of(np.array(counts), power)
    negatives.check_weights(weights, len(counts))
    assert (np.diff(weights[np.argsort(counts)]) >= 0).all()


def corrected(logits: torch.Tensor, pool: np.ndarray, chance: np.ndarray) -> torch.Tensor:
    """The corrected softmax of one positive, the first logit, against a pool out of all the others."""
    places = torch.from_numpy(1 + pool.astype(np.int64))
    log = torch.log(torch.from_numpy(chance))[torch.from_numpy(pool.astype(np.int64))]
    given_ = torch.cat([logits[:1], logits[places]]).reshape(1, -1)
    mask = torch.ones_like(given_, dtype=torch.bool)
    empty = ItemBatch({}, {}, mask[:, :0])
    rows = Rows(empty, None, None, empty, 1, mask, log_inclusion=torch.cat([torch.zeros(1), log]).reshape(1, -1))
    return loss_per_row("sampled-softmax", given_, rows)[0]


def test_the_corrected_sum_stands_for_the_sum_over_the_whole_catalogue() -> None:
    """exp(loss) - 1 is the negatives' sum over the positive's term: on average over all starts, that of all items."""
    weights = np.array([40, 7, 7, 5, 3, 2, 1, 1], np.int32)
    logits = torch.tensor([0.3, 2.0, -1.0, 0.5, 0.1, 1.2, -0.4, 0.9, -2.0], dtype=torch.float64)
    chance = negatives.inclusion(weights, 3)
    rest = np.flatnonzero(chance < 1)
    total = int(weights[rest].sum())
    whole = float(torch.exp(logits[1:] - logits[0]).sum())
    means = {}
    for name, divided in (("corrected", chance), ("plain", np.ones(8)), ("uniform", np.full(8, 3 / 8))):
        sums = []
        for start in range(total):
            chosen = rest[negatives.systematic(weights[rest].astype(np.int64), 3 - (8 - len(rest)), start)]
            pool = np.sort(np.concatenate([np.flatnonzero(chance == 1), chosen]))
            sums.append(float(torch.expm1(corrected(logits, pool, divided))))
        means[name] = float(np.mean(sums))
    assert means["corrected"] == pytest.approx(whole, rel=1e-9)
    assert abs(means["plain"] / whole - 1) > 0.1
    assert abs(means["uniform"] / whole - 1) > 0.1


def test_a_question_carries_the_pool_that_follows_from_its_weights() -> None:
    config = from_tree({"training": {"pool": "popularity", "negatives": 7, "correction": True}})
    weights = negatives.weights_of(np.arange(40.0), 1.0)
    parameters = np.zeros(3, np.float32)
    request = query_cases.training(config, 4, parameters, 40, 10, weights=weights)
    assert np.array_equal(request.arrays["pool"], negatives.weighted(config.run.seed, 4, weights, 7))
    log = model_update.log_inclusion(config, request, 40)
    assert log is not None
    np.testing.assert_allclose(np.exp(log), negatives.inclusion(weights, 7)[request.arrays["pool"]], rtol=1e-6)
    with pytest.raises(ProtocolError, match="needs the weights"):
        query_cases.training(config, 4, parameters, 40, 10)
    for bad in (weights[:-1], weights * 0, weights + negatives.MOST_WEIGHT, weights.astype(np.int64)):
        with pytest.raises(ProtocolError, match="whole number"):
            query_cases.training(config, 4, parameters, 40, 10, weights=bad)


def test_a_uniform_pool_is_corrected_by_the_share_of_the_catalogue() -> None:
    config = from_tree({"training": {"negatives": 10, "correction": True}})
    request = query_cases.training(config, 1, np.zeros(3, np.float32), 40, 10)
    log = model_update.log_inclusion(config, request, 40)
    np.testing.assert_allclose(log, np.log(10 / 40), rtol=1e-6)
    assert model_update.log_inclusion(from_tree({}), request, 40) is None


def test_settings_that_do_not_fit_are_refused() -> None:
    for tree in (
        {"training": {"correction": True, "loss": "bpr"}},
        {
            "training": {"pool": "popularity"},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
        },
        {"training": {"pool_power": 1.5}},
    ):
        with pytest.raises(ConfigError):
            from_tree(tree)
