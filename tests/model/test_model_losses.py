from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedrec.errors import ModelError
from fedrec.model.losses import loss_per_row, wants_offset
from fedrec.model.rows import ItemBatch, Rows

KINDS = ["sampled-softmax", "bpr", "bce", "mse"]


def rows_of(mask, positives, targets=None):
    mask = torch.tensor(mask)
    empty = ItemBatch({}, {}, mask)
    return Rows(empty, None, None, empty, positives, mask, None if targets is None else torch.tensor(targets))


def softplus(x):
    return math.log1p(math.exp(x))


def test_sampled_softmax_by_hand():
    rows = rows_of([[True, True, True, False, True]], 2)
    loss = loss_per_row("sampled-softmax", torch.tensor([[1.0, -0.5, 0.25, 9.0, 2.0]]), rows)
    rest = math.exp(0.25) + math.exp(2.0)
    each = [-math.log(math.exp(p) / (math.exp(p) + rest)) for p in (1.0, -0.5)]
    assert loss.item() == pytest.approx(sum(each) / 2, rel=1e-6)


def test_bpr_by_hand():
    rows = rows_of([[True, False, True, True]], 2)
    loss = loss_per_row("bpr", torch.tensor([[1.0, 7.0, 0.5, 3.0]]), rows)
    assert loss.item() == pytest.approx((softplus(-0.5) + softplus(2.0)) / 2, rel=1e-6)


def test_bce_by_hand():
    rows = rows_of([[True, True, True, False]], 1)
    loss = loss_per_row("bce", torch.tensor([[0.7, -1.0, 2.0, 5.0]]), rows)
    assert loss.item() == pytest.approx(softplus(-0.7) + (softplus(-1.0) + softplus(2.0)) / 2, rel=1e-6)


def test_mse_predicts_ratings_and_leaves_unknown_ones_out():
    rows = rows_of([[True, True, True]], 3, [[0.8, float("nan"), 0.2]])
    loss = loss_per_row("mse", torch.tensor([[0.0, 3.0, 1.0]]), rows)
    assert loss.item() == pytest.approx(((0.5 - 0.8) ** 2 + (1 / (1 + math.exp(-1)) - 0.2) ** 2) / 2, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_losses_are_finite_local_and_silent_without_material(kind, data):
    positives, count = data.draw(st.integers(0, 3)), data.draw(st.integers(3, 6))
    rows = data.draw(st.integers(1, 4))
    mask = data.draw(st.lists(st.lists(st.booleans(), min_size=count, max_size=count), min_size=rows, max_size=rows))
    numbers = st.lists(st.floats(-80, 80, width=32), min_size=count, max_size=count)
    logits = torch.tensor(data.draw(st.lists(numbers, min_size=rows, max_size=rows)), requires_grad=True)
    batch = rows_of(mask, positives)
    losses = loss_per_row(kind, logits, batch)
    losses.sum().backward()
    gradient = logits.grad
    assert losses.shape == (rows,)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradient).all()
    assert (losses >= 0).all()
    assert not gradient[~batch.candidate_mask].any()
    idle = ~batch.candidate_mask[:, :positives].any(1)
    if kind in ("sampled-softmax", "bpr"):
        idle |= ~batch.candidate_mask[:, positives:].any(1)
    assert not losses[idle].any()
    assert not gradient[idle].any()
    for i in range(rows):
        alone = loss_per_row(kind, logits[i : i + 1].detach(), batch.select(slice(i, i + 1)))
        assert torch.allclose(alone, losses[i : i + 1].detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_down_the_gradient_ranks_positives_higher(kind):
    logits = torch.zeros(1, 6, requires_grad=True)
    loss_per_row(kind, logits, rows_of([[True] * 6], 2)).sum().backward()
    assert (logits.grad[0, :2] < 0).all()
    assert (logits.grad[0, 2:] > 0).all()


@pytest.mark.parametrize("shape", [(1, 5), (2, 4), (4,)])
def test_logits_that_do_not_fit_are_refused(shape):
    with pytest.raises(ModelError, match="do not fit"):
        loss_per_row("bpr", torch.zeros(shape), rows_of([[True] * 4], 2))


def test_unknown_loss_is_refused():
    with pytest.raises(ModelError, match="sampled-softmax"):
        loss_per_row("hinge", torch.zeros(1, 4), rows_of([[True] * 4], 2))


def test_only_losses_of_single_logits_want_an_offset():
    assert [wants_offset(kind) for kind in KINDS] == [False, False, True, True]
