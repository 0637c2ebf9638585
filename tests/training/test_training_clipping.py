"""Clipped gradient sums: equal to brute force over single rows, bounded, and the same alone or in a crowd."""

from __future__ import annotations

from typing import Any

import lora_cases
import numpy as np
import pytest
import torch
from training_worlds import small_features, small_population

from fedrec.config import Config, from_tree
from fedrec.content.feature_table import Features
from fedrec.errors import ModelError
from fedrec.model import parameters
from fedrec.model.build import build_model
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import Rows
from fedrec.randomness import key
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients, choose_mode
from fedrec.training.learner import Learner
from fedrec.training.tables import Tables
from fedrec.users import UserBatch

MODES = ["bookkeeping", "hooks", "ghost", "functional"]
POOL = np.arange(0, 40, 3, dtype=np.int32)


def a_config(**training: object) -> Config:
    return from_tree({"model": {"dimension": 4, "notes": True, "photos": True}, "training": training})


def the_rows(config: Config) -> Rows:
    shape = RowShape(config.training.positives, 7, notes=True, photos=True)
    tables = Tables(small_features())
    (rows,) = build_rows(small_population(), tables, POOL, shape, key=key(0, "rows"), batch_rows=100)
    return rows


def brute_force(model: Recommender, kind: str, rows: Rows, bound: float) -> np.ndarray:
    """Each row's gradient by plain autograd on that row alone, clipped, summed."""
    total = np.zeros(parameters.count(model))
    for place in range(rows.rows):
        row = rows.select(slice(place, place + 1))
        model.zero_grad()
        loss_per_row(kind, model(row), row).sum().backward()  # type: ignore[arg-type]
        parts = [
            torch.zeros_like(p) if p.grad is None else p.grad for p in parameters.shared_parameters(model).values()
        ]
        gradient = torch.cat([part.flatten() for part in parts]).double().numpy()
        total += gradient * min(1.0, bound / max(np.linalg.norm(gradient), 1e-12))
    model.zero_grad(set_to_none=True)
    return total


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["sampled-softmax", "bpr", "bce", "mse"])
@pytest.mark.parametrize("bound", [0.05, 300.0])
def test_equals_brute_force_over_single_rows(mode: str, kind: str, bound: float) -> None:
    config = a_config(loss=kind, positives=3)
    rows = the_rows(config)
    expected = brute_force(build_model(config, small_features()), kind, rows, bound)
    gradients = ClippedGradients(
        build_model(config, small_features()),
        lambda logits, r: loss_per_row(kind, logits, r),
        bound,
        mode,  # type: ignore[arg-type]
    )
    for _ in range(2):  # the second call shows that nothing is left over from the first
        total, norms, _ = gradients(rows)
        assert np.linalg.norm(total - expected) <= 1e-5 * max(1.0, np.linalg.norm(expected))
    assert (norms > bound).any() == (bound == 0.05)


def test_modes_that_lose_the_row_are_refused() -> None:
    dense, other = torch.nn.Linear(2, 1), torch.nn.Conv1d(1, 1, 1)
    with pytest.raises(ModelError, match="folds items"):
        choose_mode("hooks", dense, flattens_rows=True)
    with pytest.raises(ModelError, match="other layers"):
        choose_mode("bookkeeping", other, flattens_rows=False)
    assert choose_mode("auto", dense, flattens_rows=True) == "functional"
    assert choose_mode("auto", dense, flattens_rows=False) == "bookkeeping"
    assert choose_mode("auto", other, flattens_rows=False) == "hooks"
    assert choose_mode("ghost", dense, flattens_rows=False) == "ghost"


@pytest.mark.parametrize("encoder", ["textcnn", "gru", "lstm"])
def test_words_within_items_equal_brute_force_in_every_mode(encoder: str) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 60, size=(40, 6)).astype(np.int32)
    features = Features(tuple(map(str, range(40))), ("",) * 40, {"text": tokens}, {"text": np.ones(40, bool)})
    config = from_tree(
        {
            "model": {"text_encoder": encoder, "dimension": 4},
            "content": {"text": {"encoder": "tokens", "vocabulary": 64}},
        }
    )
    (rows,) = build_rows(
        small_population(own=False), Tables(features), POOL, RowShape(3, 7), key=key(0, "rows"), batch_rows=100
    )
    expected = brute_force(build_model(config, features), "bpr", rows, 0.1)
    for mode in MODES:
        model = build_model(config, features)
        gradients = ClippedGradients(model, lambda y, r: loss_per_row("bpr", y, r), 0.1, mode)  # type: ignore[arg-type]
        np.testing.assert_allclose(gradients(rows)[0], expected, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bound", [0.05, 300.0])
def test_low_rank_adapters_equal_brute_force_too(mode: str, bound: float) -> None:
    config = from_tree({"model": {"dimension": 4, **lora_cases.LORA}})
    features = lora_cases.with_states(small_features())
    shape = RowShape(3, 7)
    (rows,) = build_rows(small_population(own=False), Tables(features), POOL, shape, key=key(0, "rows"), batch_rows=100)
    model, alone = build_model(config, features), build_model(config, features)
    values = parameters.flatten(model)
    values += np.random.default_rng(0).normal(size=len(values)).astype(np.float32) * 0.1
    for each in (model, alone):
        parameters.unflatten(each, values)
    expected = brute_force(alone, "bpr", rows, bound)
    gradients = ClippedGradients(model, lambda y, r: loss_per_row("bpr", y, r), bound, mode)  # type: ignore[arg-type]
    total, norms, _ = gradients(rows)
    assert np.linalg.norm(total - expected) <= 1e-5 * max(1.0, np.linalg.norm(expected))
    assert (norms > bound).any() == (bound == 0.05)
    adapters = expected[: 2 * config.model.lora_rank * lora_cases.WIDTH]
    assert np.linalg.norm(adapters) > 0.01 * np.linalg.norm(expected)


def test_one_row_never_moves_the_sum_by_more_than_the_bound() -> None:
    config = from_tree({"privacy": {"clip": 0.3}, "model": {"dimension": 4}})
    learner = Learner(config, small_features())
    values = parameters.flatten(learner.model) * 50
    people = small_population(own=False)
    everybody = learner.update(people, values, POOL, 1).gradient
    for left_out in range(len(people)):
        others = people.take(np.delete(np.arange(len(people)), left_out))
        moved = np.linalg.norm(everybody - learner.update(others, values, POOL, 1).gradient)
        assert moved <= 0.3 * (1 + 1e-5)
    assert np.linalg.norm(everybody) > 0.3


def test_a_user_adds_the_same_alone_and_among_others() -> None:
    config = a_config(positives=2)
    learner = Learner(config, small_features())
    values = parameters.flatten(learner.model)
    people = small_population()
    together = learner.update(people, values, POOL, 5).gradient
    alone = sum(learner.update(people.take(np.array([u])), values, POOL, 5).gradient for u in range(len(people)))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_population_without_events_adds_zeros() -> None:
    learner = Learner(a_config(), small_features())
    values = parameters.flatten(learner.model)
    update = learner.update(small_population().take(np.array([0])), values, POOL, 1)
    assert update.rows == 0
    assert not update.gradient.any()
    assert update.gradient.shape == values.shape


def test_by_example_one_interaction_changes_one_row_only() -> None:
    """Unit 'example': taking one interaction away changes its row, and moves the sum by at most the clip."""
    config = from_tree(
        {"privacy": {"unit": "example", "clip": 0.2}, "training": {"examples": 4}, "model": {"dimension": 4}}
    )
    learner = Learner(config, small_features())
    values = parameters.flatten(learner.model) * 20
    people = small_population(users=12, own=False)
    user = 11
    full = learner.update(people, values, POOL, 1).gradient
    start, stop = int(people.histories.indptr[user]), int(people.histories.indptr[user + 1])
    for event in range(start, stop):
        others = np.arange(len(people.histories.items)) != event
        fewer = UserBatch(people.histories.where(others), keys=people.keys)
        moved = np.linalg.norm(full - learner.update(fewer, values, POOL, 1).gradient)
        assert moved <= 0.2 * (1 + 1e-5)


@pytest.mark.parametrize("unit", ["user", "example"])
@pytest.mark.parametrize(("asked", "alone"), [(1, True), (64, False)])
def test_what_is_to_be_computed_row_by_row_is(
    unit: str, asked: int, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Devices ask for one row a batch: rounded with others, a row would be moved by what is not its own."""
    tree = {"privacy": {"unit": unit}, "speed": {"batch_rows": asked}, "model": {"dimension": 4}}
    learner, seen = Learner(from_tree(tree), small_features()), list[int]()
    assert learner.gradients.mode == "bookkeeping"
    right = ClippedGradients.__call__

    def watched(self: ClippedGradients, rows: Rows) -> Any:
        seen.append(rows.rows)
        return right(self, rows)

    monkeypatch.setattr(ClippedGradients, "__call__", watched)
    learner.update(small_population(own=False), parameters.flatten(learner.model), POOL, 0)
    assert seen and (max(seen) == 1) is alone
