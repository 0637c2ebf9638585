"""The further losses: known answers, separable by row, silent where there is nothing to learn, clipped as the rest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedrec.config import ModelSettings, TrainingSettings
from fedrec.errors import ModelError
from fedrec.model.losses import loss_per_row
from fedrec.model.objective import Objective, alignment_loss, attribute_loss
from fedrec.model.recommender import ForwardOutput, Recommender
from fedrec.model.rows import ItemBatch, Rows
from fedrec.testing import model_cases as cases
from fedrec.training.clipping import ClippedGradients

BOTH = TrainingSettings(auxiliary=0.7, alignment=0.3)


def objective(training=BOTH, **model):
    settings = ModelSettings(**{"dimension": 8, "notes": True, "photos": True} | model)
    built = Recommender(settings, cases.SHAPES, seed=3, temperature=0.5, offset=False, auxiliary=training.auxiliary > 0)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for value in built.parameters():
            value += 0.3 * torch.randn(value.shape, generator=generator)
    return Objective(built, training), cases.make_rows(settings, cases.SHAPES)


def row_of(history, positives, negatives, present=None):
    """One row whose items have the given attributes."""
    batch = lambda values, there: ItemBatch(  # noqa: E731
        {"attributes": torch.tensor([values])},
        {"attributes": torch.tensor([there])},
        torch.ones(1, len(values), dtype=torch.bool),
    )
    there = present or [True] * len(history)
    candidates = positives + negatives
    return Rows(
        history=batch(history, there),
        notes=None,
        photos=None,
        candidates=batch(candidates, [True] * len(candidates)),
        positives=len(positives),
        candidate_mask=torch.ones(1, len(candidates), dtype=torch.bool),
    )


def test_attributes_by_hand():
    rows = row_of([[1.0, 0.0], [9.0, 9.0]], [[0.0, 2.0]], [[7.0, 7.0]], present=[True, False])
    predicted = torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])
    assert attribute_loss(predicted, rows).tolist() == [(1.0 + 1.0) / 2]


def seen_of(modal, present=None):
    modal = torch.tensor([modal])
    there = torch.ones(modal.shape[:3], dtype=torch.bool) if present is None else torch.tensor([present])
    return ForwardOutput(torch.zeros(1, 1), modal[:, :, 0], modal, there)


def test_alignment_by_hand():
    east, north = [1.0, 0.0], [0.0, 1.0]
    rows = row_of([[0.0]], [[0.0]], [])
    agree, swapped = seen_of([[east, east], [north, north]]), seen_of([[east, north], [north, east]])
    right = math.log(1 + math.exp(-2.0))
    assert alignment_loss(agree, rows, 0.5).item() == pytest.approx(right, abs=1e-4)
    assert alignment_loss(swapped, rows, 0.5).item() == pytest.approx(right + 2.0, abs=1e-4)
    lonely = seen_of([[east, east], [north, north]], [[True, True], [True, False]])
    assert alignment_loss(lonely, rows, 0.5).item() == 0.0


@pytest.mark.parametrize("training", [TrainingSettings(), TrainingSettings(auxiliary=1.0), BOTH])
def test_a_rows_loss_is_its_own_and_idle_rows_are_silent(training):
    module, rows = objective(training)
    losses = module(rows)
    for i in range(rows.rows):
        assert module(rows.select(slice(i, i + 1)))[0].item() == pytest.approx(losses[i].item(), rel=1e-5, abs=1e-6)
    assert losses[1].item() == 0.0
    plain = loss_per_row(training.loss, module.model(rows), rows)
    assert torch.equal(losses, plain) == (training == TrainingSettings())


@pytest.mark.parametrize("settings", [{}, {"fusion": "late"}, {"fusion": "mixture", "user_tower": "gru"}])
@pytest.mark.parametrize("mode", ["bookkeeping", "hooks", "functional"])
@pytest.mark.parametrize("bound", [0.05, 1e6])
def test_clipped_sums_equal_brute_force(settings, mode, bound):
    module, rows = objective(**settings)
    expected = 0.0
    for i in range(rows.rows):
        loss = module(rows.select(slice(i, i + 1))).sum()
        parts = torch.autograd.grad(loss, list(module.parameters()))
        gradient = torch.cat([part.flatten() for part in parts])
        expected = expected + gradient * min(1.0, bound / max(float(gradient.norm()), 1e-12))
    gradients = ClippedGradients(module, lambda losses, _: losses, bound, mode)
    total, norms, _ = gradients(rows)
    assert norms[1] == 0.0
    np.testing.assert_allclose(total, expected.double().numpy(), rtol=1e-4, atol=1e-5 * min(bound, 1.0))


@pytest.mark.parametrize("which", ["auxiliary", "alignment"])
def test_each_further_loss_teaches_what_it_says(which):
    training = TrainingSettings(**{which: 1.0})
    module, rows = objective(training)

    def wrong():
        seen = module.model.see(rows)
        if which == "auxiliary":
            return attribute_loss(module.model.auxiliary(seen.own), rows).sum()
        return alignment_loss(seen, rows, 0.5).sum()

    before = wrong().item()
    steps = torch.optim.SGD(module.parameters(), lr=0.02)
    for _ in range(60):
        steps.zero_grad()
        module(rows).sum().backward()
        steps.step()
    assert wrong().item() < 0.7 * before


def test_attributes_that_the_tower_does_not_read_are_still_predicted():
    module, rows = objective(TrainingSettings(auxiliary=1.0), reads=("text", "image"))
    assert module.model.modalities == ("text", "image")
    logits = module.model(rows)
    other = replace(rows.candidates, values=rows.candidates.values | {"attributes": torch.randn(5, 7, 4)})
    changed = replace(rows, candidates=other)
    assert torch.equal(module.model(changed), logits)
    assert not torch.equal(module(changed), module(rows))


def test_an_auxiliary_task_without_attributes_is_refused():
    with pytest.raises(ModelError, match="attributes"):
        Recommender(ModelSettings(), {"text": (6,)}, seed=0, temperature=0.1, auxiliary=True)
