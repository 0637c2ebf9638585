"""Rows whose gradient is not finite: each is its own zero, and poisons nobody's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training_worlds import ITEMS, small_features, small_population

from fedrec.config import Config, from_tree
from fedrec.model.build import build_model
from fedrec.model.losses import loss_per_row
from fedrec.model.objective import Objective
from fedrec.model.parameters import flatten
from fedrec.model.rows import Rows
from fedrec.randomness import key
from fedrec.training.build_rows import RowShape, build_rows
from fedrec.training.clipping import ClippedGradients
from fedrec.training.local import LocalLearner
from fedrec.training.local_noise import LocalNoise
from fedrec.training.tables import Tables
from fedrec.users import Histories, UserBatch, keys_of

BOUND = 0.05
POOL = np.arange(0, 40, 3, dtype=np.int32)
MODES = ["bookkeeping", "hooks", "ghost", "functional"]


def the_rows(config: Config) -> Rows:
    tables, shape = Tables(small_features()), RowShape(config.training.positives, 7)
    (rows,) = build_rows(small_population(own=False), tables, POOL, shape, key=key(0, "rows"), batch_rows=100)
    return rows


def gradients_of(mode: str, spoilt: Tensor | None = None) -> ClippedGradients:
    """``spoilt``: what each row's loss is multiplied by, by the row's first candidate mask; None = nothing."""
    config = from_tree({"model": {"dimension": 4}})

    def loss(logits: Tensor, rows: Rows) -> Tensor:
        told = loss_per_row("sampled-softmax", logits, rows)
        # A row is told from another by a feature that only this test sets.
        return told if spoilt is None else told * torch.where(rows.context[:, 0] > 0, spoilt, 1.0)  # type: ignore[index]

    return ClippedGradients(build_model(config, small_features()), loss, BOUND, mode)  # type: ignore[arg-type]


def marked(rows: Rows, bad: list[int]) -> Rows:
    context = torch.zeros(rows.rows, 4)
    context[bad, 0] = 1.0
    return Rows.from_tensors({**rows.tensors(), "context": context}, rows.positives)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf, 3e38])
@pytest.mark.parametrize("bad", [[0], [1, 3], [0, 2]])
def test_a_row_that_is_not_finite_adds_zero_and_the_others_what_they_add_alone(
    mode: str, number: float, bad: list[int]
) -> None:
    rows = the_rows(from_tree({"model": {"dimension": 4}}))
    good = [row for row in range(rows.rows) if row not in bad]
    spoilt = gradients_of(mode, torch.tensor(number))
    total, norms, loss = spoilt(marked(rows, bad))
    alone = Rows.from_tensors({name: value[good] for name, value in rows.tensors().items()}, rows.positives)
    expected, expected_norms, _ = gradients_of(mode)(alone)
    lost = ~np.isfinite(norms)
    if not np.isfinite(number):
        assert np.flatnonzero(lost).tolist() == bad
        np.testing.assert_allclose(total, expected, atol=1e-7)
        np.testing.assert_allclose(norms[good], expected_norms, rtol=1e-5)
        assert np.isfinite(loss)
    assert np.isfinite(total).all()
    assert np.linalg.norm(total) <= (rows.rows - lost.sum()) * BOUND * (1 + 1e-5)
    again, _, _ = spoilt(marked(rows, []))  # and nothing of it is left over
    np.testing.assert_allclose(again, gradients_of(mode)(rows)[0], atol=1e-7)


@pytest.mark.parametrize("mode", MODES)
def test_where_every_row_is_lost_the_sum_is_zero(mode: str) -> None:
    rows = the_rows(from_tree({"model": {"dimension": 4}}))
    total, norms, loss = gradients_of(mode, torch.tensor(torch.nan))(marked(rows, list(range(rows.rows))))
    assert not total.any() and np.isinf(norms).all() and loss == 0.0


def test_a_given_gradient_that_is_not_finite_adds_zero() -> None:
    gradients = gradients_of("hooks")
    length = sum(value.numel() for value in gradients.model.parameters())
    samples = torch.ones(3, length)
    samples[1, 2], samples[2, 0] = torch.nan, torch.inf
    given = samples.clone()
    np.testing.assert_allclose(gradients.clip(samples), gradients.clip(samples[:1]), rtol=1e-6)
    assert torch.equal(samples.nan_to_num(), given.nan_to_num()), "what was given is changed"


def test_local_steps_leave_a_row_that_is_not_finite_out(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = from_tree(
        {
            "model": {"dimension": 8},
            "content": {"modalities": ["text", "image"]},
            "collaborative": {"popularity": False, "cooccurrence": {"enabled": False}},
            "training": {"examples": 4},
            "privacy": {"unit": "example", "epsilon": 8, "delta": 1e-3, "clip": 0.5, "noise_place": "local"},
        }
    )
    learner, right = LocalLearner(settings, small_features()), Objective.forward
    people = UserBatch(Histories.of([list(range(12))]), keys=keys_of(["ann"]))
    values = flatten(learner.model)

    def moved(factors: list[float]) -> np.ndarray:
        def forward(self: Objective, rows: Rows) -> Any:
            return right(self, rows) * torch.tensor(factors)

        monkeypatch.setattr(Objective, "forward", forward)
        pool, noise = np.arange(ITEMS, dtype=np.int32), LocalNoise(0.0, 1.0, key(3, "bare"))
        return learner.update(people, values, pool, 1, noise).gradient

    found = moved([1.0, torch.nan, 1.0, torch.inf])
    np.testing.assert_allclose(found, moved([1.0, 0.0, 1.0, 0.0]), atol=1e-7)
    assert found.any()
