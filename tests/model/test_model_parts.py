"""Heads, norms, fusion and the user tower on values small enough to check by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedrec.model.adapter import Adapter
from fedrec.model.encoder_head import Head, Subspace, subspaces
from fedrec.model.fusion import build_fusion
from fedrec.model.layers import masked_mean, masked_softmax, orthonormal, unit
from fedrec.model.user_tower import UserTower

ALL_FUSIONS = ["mean", "weighted", "concat-mlp", "gated", "attention"]


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


@pytest.mark.parametrize("kind", ALL_FUSIONS)
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
    adapter = Adapter(3)
    users = torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(adapter(users), users, atol=1e-5)
    with torch.no_grad():
        adapter.vector.copy_(torch.tensor([0.0, 0.0, 2.0]))
    assert torch.allclose(adapter(users)[1], torch.tensor([0.0, 0.0, 1.0]), atol=1e-5)
    assert torch.allclose(adapter(users).norm(dim=-1), torch.ones(2), atol=1e-5)
