"""Norms and weighted sums of rows' gradients, against exact arithmetic and against the matrices themselves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedrec.training.row_gradients import CANCELLATION, MARGIN, DenseRows, EmbeddedRows, FactoredRows, RowGradients


@settings(max_examples=80, deadline=None)
@given(turns=st.integers(1, 5), apart=st.floats(-9, 0), size=st.floats(-6, 6), seed=st.integers(0, 10_000))
def test_norms_of_factors_are_upper_bounds_and_sums_are_right_in_exact_arithmetic(
    turns: int, apart: float, size: float, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn((1, 1, 4), generator=draw) + 10.0**apart * torch.randn((1, turns, 4), generator=draw)
    backprops = torch.randn((1, turns, 3), generator=draw) * 10.0**size
    backprops -= backprops.mean(1, keepdim=True) * (seed % 2)  # every other time the terms cancel
    rows = FactoredRows(backprops, inputs)
    norm, bound = float(rows.norms()), 0.1
    factor = min(1.0, bound / max(norm * (1 + MARGIN), 1e-300))
    found = rows.weighted_sum(torch.tensor([factor], dtype=torch.float64)).reshape(3, 4)
    exact = [[_exact(backprops[0, :, i], inputs[0, :, j]) for j in range(4)] for i in range(3)]
    true = float(sum(one * one for line in exact for one in line)) ** 0.5
    assert true <= norm * (1 + MARGIN)
    terms = float((backprops.double().norm(dim=2) * inputs.double().norm(dim=2)).sum())
    assert norm <= true + 2 * CANCELLATION * terms, "no looser than is said"
    assert true * factor <= bound
    for i in range(3):
        for j in range(4):
            assert abs(float(found[i, j]) - float(exact[i][j] * Fraction(factor))) <= 1e-9 * bound


def _exact(one: Tensor, other: Tensor) -> Fraction:
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(one, other, strict=True)), Fraction(0))


def test_embedded_rows_are_the_matrices() -> None:
    rng = np.random.default_rng(0)
    places = [torch.from_numpy(rng.integers(0, 7, size=(4, 3, 2))), torch.from_numpy(rng.integers(0, 7, size=(4, 5)))]
    backprops = [torch.from_numpy(rng.normal(size=(*one.shape, 6)).astype(np.float32)) for one in places]
    dense = torch.zeros(4, 7, 6, dtype=torch.float64)
    for place, backprop in zip(places, backprops, strict=True):
        for row in range(4):
            dense[row].index_add_(0, place[row].flatten(), backprop[row].reshape(-1, 6).double())
    _assert_same(EmbeddedRows.of(backprops, places, 7), DenseRows(dense))


@pytest.mark.parametrize(("turns", "kind"), [(2, FactoredRows), (40, DenseRows)])
def test_the_cheaper_form_is_taken_and_both_are_the_same(turns: int, kind: type[RowGradients]) -> None:
    draw = torch.Generator().manual_seed(1)
    backprops = [torch.randn((3, turns, 8), generator=draw), torch.randn((3, 8), generator=draw)]
    inputs = [torch.randn((3, turns, 20), generator=draw), torch.randn((3, 20), generator=draw)]
    best = FactoredRows.best(backprops, inputs)
    assert type(best) is kind
    dense = backprops[0].mT @ inputs[0] + backprops[1].unsqueeze(2) * inputs[1].unsqueeze(1)
    _assert_same(best, DenseRows(dense))


def _assert_same(found: RowGradients, expected: RowGradients) -> None:
    torch.testing.assert_close(found.norms(), expected.norms(), rtol=1e-5, atol=0)
    factors = torch.tensor([0.5, 1.0, 0.0, 2.0], dtype=torch.float64)[: len(expected.norms())]
    torch.testing.assert_close(found.weighted_sum(factors), expected.weighted_sum(factors), rtol=1e-5, atol=1e-5)
