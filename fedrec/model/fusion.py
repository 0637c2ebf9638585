"""Fusion: one vector an item from its modalities' vectors; a modality that is missing has no say.

Every fusion gets vectors [rows, items, k, d] with their ``present`` mask [rows, items, k], and gives [rows, items, d].
It never reads the vector of a missing modality, gives the zero vector to an item without any, and starts as (nearly)
the plain mean, so that a model not yet trained is a usable one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from fedrec import config
from fedrec.model.layers import EPSILON, constant, linear, masked_softmax


def mixed(vectors: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over the modalities."""
    return torch.einsum("rnkd,rnk->rnd", vectors, weights)


def evenly(present: Tensor, dtype: torch.dtype) -> Tensor:
    """Equal weights over what is present, summing to 1 (or all zero)."""
    there = present.to(dtype)
    return there / there.sum(-1, keepdim=True).clamp(min=1.0)


class MeanFusion(nn.Module):
    """The mean over the modalities present; no parameter."""

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        return mixed(vectors, evenly(present, vectors.dtype))


class WeightedFusion(nn.Module):
    """A learned weight a modality, the same for all items, as a softmax over those present (k parameters)."""

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.logits = constant([[0.0]] * modalities)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        logits = self.logits(vectors.new_ones((vectors.shape[0], 1))).unsqueeze(1)
        return mixed(vectors, masked_softmax(logits, present))


class GatedFusion(nn.Module):
    """A gate a modality and item, from all its modalities, renormalised over those present (Arevalo et al. 2017).

    Which modalities are present is an input of its own, so that a missing one is not mistaken for a zero vector.
    """

    def __init__(self, modalities: int, dimension: int) -> None:
        super().__init__()
        self.gate = constant([[0.0] * (modalities * (dimension + 1))] * modalities)
        self.start = constant([[0.0]] * modalities)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        start = self.start(vectors.new_ones((vectors.shape[0], 1))).unsqueeze(1)
        gates = torch.sigmoid(self.gate(_joined(vectors, present)) + start) * present.to(vectors.dtype)
        return mixed(vectors, gates / (gates.sum(-1, keepdim=True) + EPSILON))


class ConcatFusion(nn.Module):
    """The mean, corrected by a network of one hidden layer over all modalities and which of them are present."""

    def __init__(self, modalities: int, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = linear(modalities * (dimension + 1), dimension, bias=True, generator=generator)
        self.out = linear(dimension, dimension, bias=True, generator=generator, scale=0.1)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        correction = self.out(gelu(self.hidden(_joined(vectors, present))))
        anything = present.any(-1, keepdim=True).to(vectors.dtype)
        fused: Tensor = mixed(vectors, evenly(present, vectors.dtype)) + correction * anything
        return fused


class AttentionFusion(nn.Module):
    """Scaled dot-product attention of an item's mean vector over its modalities (Vaswani et al. 2017, section 3.2.1).

    Values are the modalities' vectors themselves; only queries and keys are learned.
    """

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = min(dimension, 16)
        self.query = linear(dimension, inner, bias=True, generator=generator)
        self.key = linear(dimension, inner, bias=False, generator=generator)
        self.scale = inner**-0.5

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        query = self.query(mixed(vectors, evenly(present, vectors.dtype)))
        logits = torch.einsum("rnkj,rnj->rnk", self.key(vectors), query) * self.scale
        return mixed(vectors, masked_softmax(logits, present))


def build_fusion(kind: config.Fusion, modalities: int, dimension: int, generator: torch.Generator) -> nn.Module:
    """The fusion of that name for ``modalities`` vectors of length ``dimension``."""
    if kind == "mean":
        return MeanFusion()
    if kind == "weighted":
        return WeightedFusion(modalities)
    if kind == "gated":
        return GatedFusion(modalities, dimension)
    if kind == "concat-mlp":
        return ConcatFusion(modalities, dimension, generator)
    return AttentionFusion(dimension, generator)


def _joined(vectors: Tensor, present: Tensor) -> Tensor:
    """[rows, items, k * d + k]: the vectors of what is present, zeros for the rest, and which is which."""
    there = present.to(vectors.dtype)
    return torch.cat([(vectors * there.unsqueeze(-1)).flatten(-2), there], -1)
