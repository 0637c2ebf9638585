"""Heads, norms, fusion and the user tower on values small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedrec.model.adapter import Adapter
from fedrec.model.encoder_head import Head
from fedrec.model.fusion import build_fusion, fused_width
from fedrec.model.history import age
from fedrec.model.layers import masked_mean, masked_softmax, orthonormal, unit
from fedrec.model.recurrent import GatedCell, MemoryCell
from fedrec.model.subspace import Subspace, subspaces
from fedrec.model.user_tower import UserTower, build_history

NEAR_THE_MEAN = ["mean", "weighted", "concat-mlp", "gated", "attention", "cross-attention", "mixture"]
FOLDING = [*NEAR_THE_MEAN, "max"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_unit_keeps_zero_with_finite_gradient():
    vectors = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    scaled = unit(vectors)
    scaled.sum().backward()
    assert torch.allclose(scaled.detach(), torch.tensor([[0.0, 0.0], [0.6, 0.8]]), atol=1e-6)
    assert torch.isfinite(vectors.grad).all()


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_orthonormal_on_the_shorter_side(rows, columns, seed):
    matrix = orthonormal(rows, columns, generator(seed))
    assert matrix.shape == (rows, columns)
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    assert torch.allclose(gram, torch.eye(min(rows, columns)), atol=1e-5)


def test_masked_mean_and_softmax_by_hand():
    vectors = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]], [[1.0, 1.0]] * 3])
    mask = torch.tensor([[True, True, False], [False] * 3])
    assert masked_mean(vectors, mask).tolist() == [[2.0, 4.0], [0.0, 0.0]]
    weights = masked_softmax(torch.tensor([[0.0, math.log(3.0), 50.0], [1.0, 2.0, 3.0]]), mask)
    assert torch.allclose(weights, torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.0, 0.0]]))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 24))
def test_subspaces_are_disjoint_where_there_is_room(widths, dimension):
    named = {f"m{i}": width for i, width in enumerate(widths)}
    found = subspaces(named, dimension)
    places = [place for name in named for place in found[name].places]
    assert all(0 <= place < dimension for place in places)
    if dimension >= len(widths):
        assert len(places) == len(set(places)) == min(dimension, sum(widths))
        assert all(1 <= found[name].size <= named[name] for name in named)
    else:
        assert all(found[name].size == dimension for name in named)


def test_untrained_heads_keep_cosines():
    x = torch.randn(1, 40, 6, generator=generator(1))
    real = torch.ones(1, 40, dtype=torch.bool)
    cosines = torch.nn.functional.cosine_similarity(x[0, :, None], x[0, None], dim=-1)
    exact = Head(6, 16, Subspace(4, 6), generator())(x, real)[0]
    assert torch.allclose(exact @ exact.T, cosines, atol=1e-4)
    total = torch.zeros(40, 40)
    for seed in range(200):
        z = Head(6, 16, Subspace(4, 3), generator(seed))(x, real)[0]
        total += z @ z.T
    assert torch.allclose(total.detach() / 200, cosines, atol=0.2)


@pytest.mark.parametrize("kind", NEAR_THE_MEAN)
def test_fusion_starts_near_the_mean_of_what_is_present(kind):
    vectors = torch.randn(2, 5, 3, 8, generator=generator(2))
    present = torch.rand(2, 5, 3, generator=generator(3)) > 0.4
    present[0, 0] = False
    fused = build_fusion(kind, 3, 8, generator())(vectors, present)
    expected = (vectors * present.unsqueeze(-1)).sum(2) / present.sum(2).clamp(min=1).unsqueeze(-1)
    assert not fused[0, 0].any()
    assert torch.nn.functional.cosine_similarity(fused, expected, dim=-1)[present.any(-1)].min() > 0.8
    garbage = torch.where(present.unsqueeze(-1), vectors, 1e3)
    assert torch.equal(build_fusion(kind, 3, 8, generator())(garbage, present), fused)


def test_weighted_fusion_renormalises_over_what_is_present():
    fusion = build_fusion("weighted", 3, 1, generator())
    with torch.no_grad():
        fusion.logits.weight.copy_(torch.tensor([[0.0], [math.log(3.0)], [math.log(4.0)]]))
    vectors = torch.tensor([[[[1.0], [2.0], [4.0]]] * 2])
    present = torch.tensor([[[True, True, True], [True, False, True]]])
    assert torch.allclose(fusion(vectors, present)[0, :, 0], torch.tensor([(1 + 6 + 16) / 8, (1 + 16) / 5]))


def test_max_takes_the_strongest_with_its_sign():
    vectors = torch.tensor([[[[1.0, -3.0, 0.5], [-2.0, 1.0, 0.4], [9.0, -9.0, 9.0]]]])
    fusion = build_fusion("max", 3, 3, generator())
    two, none = torch.tensor([[[True, True, False]]]), torch.zeros(1, 1, 3, dtype=torch.bool)
    assert fusion(vectors, two).tolist() == [[[-2.0, -3.0, 0.5]]]
    assert fusion(vectors, none).tolist() == [[[0.0, 0.0, 0.0]]]


@pytest.mark.parametrize("kind", ["max", "late"])
def test_fusions_without_a_mean_read_only_what_is_present(kind):
    vectors = torch.randn(2, 5, 3, 8, generator=generator(2))
    present = torch.rand(2, 5, 3, generator=generator(3)) > 0.4
    present[0, 0] = False
    fusion = build_fusion(kind, 3, 8, generator())
    fused = fusion(vectors, present)
    assert fused.shape[-1] == fused_width(kind, 3, 8) == (24 if kind == "late" else 8)
    assert not fused[0, 0].any()
    assert torch.equal(fusion(torch.where(present.unsqueeze(-1), vectors, 1e3), present), fused)


def test_late_scores_are_the_weighted_mean_of_each_modalitys_own():
    vectors = torch.randn(1, 2, 3, 4, generator=generator(4))
    present = torch.tensor([[[True, True, True], [True, False, True]]])
    fusion = build_fusion("late", 3, 4, generator())
    with torch.no_grad():
        fusion.logits.weight.copy_(torch.tensor([[0.5], [3.0], [-1.0]]))
    first, second = unit(fusion(vectors, present))[0]
    weights = torch.exp(torch.tensor([0.5, 3.0, -1.0]))
    cosines = torch.nn.functional.cosine_similarity(vectors[0, 0], vectors[0, 1], dim=-1)
    both = weights / weights.sum(), weights[[0, 2]] / weights[[0, 2]].sum()
    expected = sum((both[0][m] * both[1][i]).sqrt() * cosines[m] for i, m in enumerate((0, 2)))
    assert torch.allclose(first @ second, expected, atol=1e-4)
    everywhere = torch.ones_like(present)
    first, second = unit(fusion(vectors, everywhere))[0]
    assert torch.allclose(first @ second, both[0] @ cosines, atol=1e-4)


def test_age_counts_real_items_from_the_newest():
    mask = torch.tensor([[True, False, True, True], [False, True, True, False], [False] * 4])
    assert age(mask).masked_fill(~mask, -1).tolist() == [[2, -1, 1, 0], [-1, 1, 0, -1], [-1] * 4]


def test_recency_weighs_by_power_and_exponential():
    history = build_history("recency", 3, generator())
    vectors, mask = torch.eye(3).unsqueeze(0), torch.ones(1, 3, dtype=torch.bool)
    with torch.no_grad():
        history.decay.weight.copy_(torch.tensor([[-1.0, -8.0]]))
    expected = torch.tensor([math.exp(-1.0) / 3, math.exp(-0.5) / 2, 1.0])
    assert torch.allclose(history(vectors, mask)[0], expected / expected.sum(), atol=1e-6)
    with torch.no_grad():
        history.decay.weight.zero_()
    assert torch.allclose(history(vectors, mask), masked_mean(vectors, mask))


@pytest.mark.parametrize("kind", ["mean", "recency", "gru", "attention"])
def test_histories_start_near_their_mean(kind):
    vectors = unit(torch.randn(6, 9, 16, generator=generator(5)))
    mask = torch.rand(6, 9, generator=generator(6)) > 0.3
    mask[0] = False
    found = build_history(kind, 16, generator())(vectors, mask)
    assert not found[0].any()
    assert torch.nn.functional.cosine_similarity(found, masked_mean(vectors, mask), dim=-1)[1:].min() > 0.8


@pytest.mark.parametrize("cell", [GatedCell, MemoryCell])
def test_cells_skip_what_is_masked_and_remember_order(cell):
    made = cell(3, 4, generator())
    sequence = torch.randn(2, 5, 3, generator=generator(1))
    mask = torch.tensor([[True, False, True, True, False], [False] * 5])
    state = made(sequence, mask)
    short = made(sequence[:, [0, 2, 3]], torch.ones(2, 3, dtype=torch.bool))
    assert torch.allclose(state[0], short[0])
    assert not state[1].any()
    assert not torch.allclose(made(sequence[:, [3, 2, 0]], torch.ones(2, 3, dtype=torch.bool))[0], short[0])


@pytest.mark.parametrize(("cell", "known"), [(GatedCell, nn.GRU), (MemoryCell, nn.LSTM)])
def test_cells_compute_what_torchs_own_do(cell, known):
    made, theirs = cell(3, 4, generator()), known(3, 4, batch_first=True)
    with torch.no_grad():
        for value in made.parameters():
            value.copy_(torch.randn(value.shape, generator=generator(2)))
        theirs.weight_ih_l0.copy_(made.inward.weight)
        theirs.weight_hh_l0.copy_(made.onward.weight)
        theirs.bias_ih_l0.copy_(made.inward.bias)
        theirs.bias_hh_l0.copy_(made.onward.bias) if made.onward.bias is not None else theirs.bias_hh_l0.zero_()
    if cell is MemoryCell:  # torch orders input, forget, cell, output
        with torch.no_grad():
            for value in (theirs.weight_ih_l0, theirs.weight_hh_l0, theirs.bias_ih_l0):
                take, keep, show, new = value.clone().chunk(4)
                value.copy_(torch.cat([take, keep, new, show]))
    sequence = torch.randn(2, 5, 3, generator=generator(3))
    mask = torch.ones(2, 5, dtype=torch.bool)
    assert torch.allclose(made(sequence, mask), theirs(sequence)[0][:, -1], atol=1e-5)


def source(vectors, mask=None):
    vectors = torch.tensor([vectors])
    return vectors, torch.ones(vectors.shape[:2], dtype=torch.bool) if mask is None else torch.tensor([mask])


def test_user_tower_uses_what_there_is():
    tower = UserTower(notes=True, photos=True)
    east, north, up = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    nobody = source([east], [False])
    assert not tower(nobody, None, None).any()
    assert torch.allclose(tower(nobody, source([north]), None), torch.tensor([north]), atol=1e-5)
    assert torch.allclose(tower(source([east]), None, source([up], [False])), torch.tensor([east]), atol=1e-5)
    all_three = tower(source([east]), source([north]), source([up]))
    assert (all_three > 0.1).all()


def test_history_says_more_the_longer_it_is():
    tower = UserTower(notes=True, photos=False)
    notes = source([[0.0, 1.0]])
    shares = [tower(source([[1.0, 0.0]] * n), notes, None)[0, 0].item() for n in (1, 8, 64)]
    assert shares == sorted(shares)
    assert shares[2] > shares[0] + 0.01
    with torch.no_grad():
        tower.mixture.weight.copy_(torch.tensor([[0.0, 0.0], [0.0, 5.0]]))
    shares = [tower(source([[1.0, 0.0]] * n), notes, None)[0, 0].item() for n in (1, 64)]
    assert shares[0] > shares[1]


def test_adapter_starts_as_nothing_and_learns():
    users = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]])
    adapter = Adapter(torch.zeros_like(users))
    assert torch.allclose(adapter(users), users, atol=1e-5)
    with torch.no_grad():
        adapter.vectors.copy_(torch.tensor([[0.0, 0.0, 2.0]] * 2))
    assert torch.allclose(adapter(users)[1], torch.tensor([0.0, 0.0, 1.0]), atol=1e-5)
    assert torch.allclose(adapter(users).norm(dim=-1), torch.ones(2), atol=1e-5)
