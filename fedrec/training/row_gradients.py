"""The gradients of a batch's rows, in the forms in which their norms and weighted sums are exact enough to be bounds.

Norms and sums are taken in float64 of gradients in float32, so that what is bounded is what is added, and rounding is
known.  With u = 2^-53, the norm of n numbers is off by a factor of 1 + n u at most (Higham, "Accuracy and Stability of
Numerical Algorithms", 2002, section 3.1), and a sum of R rows of norm b by R^2 u b: both stay within `MARGIN` for up to
10^8 parameters and 3 * 10^4 rows, and clipping leaves `MARGIN` for them.

A dense layer that is used T times in a row has the gradient G = sum_t g_t a_t^T.  Its norm without G itself ("ghost
norm": Goodfellow 2015; Li et al. 2022, section 4) is the root of sum_st <g_s, g_t> <a_s, a_t>, whose terms may cancel:
it is then off by sqrt((T^2 + inputs + outputs) u) sum_t |g_t| |a_t|, however small G is.  In float32 that is more than
any bound, and a row was counted 352 times its own.  Here the terms are added in float64, and the norm that is told is
an upper bound: `CANCELLATION` times sum_t |g_t| |a_t| is added to it, in quadrature.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

MARGIN: Final = 2.0**-23
"""Relative error that norms and sums may have; a clipped row is within its bound by as much."""
CANCELLATION: Final = 1e-5
"""Least share of sum_t |g_t| |a_t| that a norm without its gradient is told to be; larger where T asks for more."""
_UNIT: Final = 2.0**-53


class RowGradients(ABC):
    """One parameter's gradients of all rows of a batch."""

    @abstractmethod
    def norms(self) -> Tensor:
        """An upper bound of each row's L2 norm but for `MARGIN`, float64 [rows]; not finite where a row is not."""

    @abstractmethod
    def weighted_sum(self, factors: Tensor) -> Tensor:
        """The sum over rows of factor times gradient; ``factors``: float64 [rows].  Flat, float64."""


@dataclass(frozen=True, eq=False)
class DenseRows(RowGradients):
    """Gradients as they are. ``samples``: [rows, ...]."""

    samples: Tensor

    @cached_property
    def exact(self) -> Tensor:
        """The same in float64, [rows, parameters]: made once, since that takes as long as either use of it."""
        return self.samples.flatten(1).double()

    def norms(self) -> Tensor:
        """Exact but for `MARGIN`."""
        norms: Tensor = torch.linalg.vector_norm(self.exact, dim=1)
        return norms

    def weighted_sum(self, factors: Tensor) -> Tensor:
        """In float64."""
        return factors @ self.exact

    @classmethod
    def joined(cls, parts: Sequence[DenseRows]) -> DenseRows:
        """Gradients of several parameters as those of one, [rows, parameters] in float64."""
        if len(parts) == 1:
            return parts[0]
        sizes = [part.samples[0].numel() for part in parts]
        first = parts[0].samples
        whole = first.new_empty((len(first), sum(sizes)), dtype=torch.float64)
        start = 0
        for part, size in zip(parts, sizes, strict=True):
            whole[:, start : start + size].view(part.samples.shape).copy_(part.samples)
            start += size
        return cls(whole)


@dataclass(frozen=True, eq=False)
class FactoredRows(RowGradients):
    """Gradients sum_t g_t a_t^T of a dense layer's weight, from ``backprops`` g [rows, T, outputs] and ``inputs`` a
    [rows, T, inputs], without the matrices themselves."""

    backprops: Tensor
    inputs: Tensor

    def norms(self) -> Tensor:
        """An upper bound, tight but for rows whose terms cancel."""
        g, a = self.backprops.double(), self.inputs.double()
        turns, width = g.shape[1], g.shape[2] + a.shape[2]
        gram = ((g @ g.mT) * (a @ a.mT)).sum((1, 2)).clamp(min=0.0)
        terms = (g.norm(dim=2) * a.norm(dim=2)).sum(1)
        least = max(CANCELLATION, 2 * math.sqrt((turns**2 + width + 4) * _UNIT))
        return torch.sqrt(gram + (least * terms).square())

    def weighted_sum(self, factors: Tensor) -> Tensor:
        """In float64. A row's terms are at most 1 / `CANCELLATION` times its bound, so that they cancel to 1e-7."""
        weighted = self.backprops.double() * factors[:, None, None]
        return (weighted.flatten(0, 1).T @ self.inputs.double().flatten(0, 1)).flatten()

    @classmethod
    def best(cls, backprops: Sequence[Tensor], inputs: Sequence[Tensor]) -> RowGradients:
        """As factors where that takes less time than the matrices (Bu et al. 2022, section 4: mixed ghost clipping).

        Args:
            backprops, inputs: of each use of the layer, [rows, ..., outputs] and [rows, ..., inputs].
        """
        g = _together(backprops)
        a = _together([one.to(g.dtype) for one in inputs])
        if g.shape[1] * (g.shape[2] + a.shape[2]) < g.shape[2] * a.shape[2]:
            return cls(g, a)
        return DenseRows(g.mT @ a)


@dataclass(frozen=True, eq=False)
class EmbeddedRows(RowGradients):
    """Gradients of an embedding's table, of which a row reaches few entries.

    ``entries``: int64 [n], of the table.  ``owners``: int64 [n], the row of each.  ``values``: float64 [n, width], the
    gradient of that entry in that row.  ``size``: entries of the table.  ``rows``: of the batch.
    """

    entries: Tensor
    owners: Tensor
    values: Tensor
    size: int
    rows: int

    def norms(self) -> Tensor:
        """Exact but for `MARGIN`."""
        squares = self.values.new_zeros(self.rows).index_add(0, self.owners, self.values.square().sum(1))
        return squares.sqrt()

    def weighted_sum(self, factors: Tensor) -> Tensor:
        """In float64."""
        total = self.values.new_zeros((self.size, self.values.shape[1]))
        return total.index_add(0, self.entries, self.values * factors[self.owners, None]).flatten()

    @classmethod
    def of(cls, backprops: Sequence[Tensor], places: Sequence[Tensor], size: int) -> EmbeddedRows:
        """From each use of the table: ``backprops`` [rows, ..., width] and ``places`` int [rows, ...]."""
        g = _together(backprops).double()
        looked_up = torch.cat([one.reshape(one.shape[0], -1) for one in places], 1).long()
        rows = len(g)
        named = (looked_up + torch.arange(rows, device=looked_up.device).unsqueeze(1) * size).flatten()
        used, place = torch.unique(named, return_inverse=True)
        values = g.new_zeros((len(used), g.shape[2])).index_add(0, place, g.flatten(0, 1))
        return cls(used % size, used // size, values, size, rows)


def _together(uses: Sequence[Tensor]) -> Tensor:
    """Of all uses of a layer, [rows, ..., width] each, one [rows, T, width]; one use alone is not copied."""
    return _three(uses[0]) if len(uses) == 1 else torch.cat([_three(one) for one in uses], 1)


def _three(values: Tensor) -> Tensor:
    """[rows, ..., width] as [rows, T, width]."""
    return values.reshape(values.shape[0], -1, values.shape[-1])
