"""What all fusions are made of: weighted sums over the modalities of an item, and its modalities side by side."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

_FAR = -1e9


class Fusion(nn.Module, ABC):
    """Vectors [rows, items, k, d] and ``present``, bool [rows, items, k] -> [rows, items, `width`].

    It never reads the vector of a missing modality, gives the zero vector to an item without any, mixes no two items
    and no two rows, and starts as (nearly) the plain mean, so that a model not yet trained is a usable one.

    ``adds_up``: vectors of modalities are added up, so that heads may start as one map of all features together; where
    they are not, `fedrec.model.warm_start` fits each modality by itself.  ``side_by_side``: each modality has a space
    of its own in the fused vector, instead of coordinates of its own in a common one.
    """

    adds_up: ClassVar[bool] = True
    side_by_side: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """Build one for ``modalities`` vectors of length ``dimension``; initial values are the generator's alone."""

    @classmethod
    def width(cls, modalities: int, dimension: int) -> int:
        """The length of a fused vector."""
        return dimension

    @abstractmethod
    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        """See the class."""


def mixed(vectors: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over the modalities; not by products of matrices, which are slow where they are this small."""
    return (vectors * weights.unsqueeze(-1)).sum(-2)


def shared_out(logits: Tensor, present: Tensor) -> Tensor:
    """The softmax of logits over the modalities present, [rows, items, k]; all zero where there is none.

    As `fedrec.model.layers.masked_softmax`, but 3 times as fast for the few modalities that there are.
    """
    known = logits.masked_fill(~present, _FAR)
    shares = torch.exp(known - known.detach().amax(-1, keepdim=True)) * present.to(logits.dtype)
    return shares / shares.sum(-1, keepdim=True).clamp(min=1.0)


def evenly(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights over what is present, summing to 1 (or all zero)."""
    there = present.to(dtype)
    return there / there.sum(-1, keepdim=True).clamp(min=1.0)


def joined(vectors: Tensor, present: Tensor) -> Tensor:
    """[rows, items, k * d + k]: the vectors of what is present, zeros for the rest, and which is which."""
    there = present.to(vectors.dtype)
    return torch.cat([(vectors * there.unsqueeze(-1)).flatten(-2), there], -1)
