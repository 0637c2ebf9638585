"""Fusion: one vector an item from its modalities' vectors; a modality that is missing has no say.

What a fusion owes is said in `fusion_weights.Fusion`; which there are, in `registry`.  Fusions that mix modalities with
one another more deeply are in `fusion_deep`; `late`, which keeps them apart to the end, gives vectors of length k * d.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import gelu

from fedrec.model.fusion_weights import Fusion, evenly, joined, mixed, shared_out
from fedrec.model.layers import EPSILON, constant, linear, unit
from fedrec.model.registry import FUSIONS


class MeanFusion(Fusion):
    """The mean over the modalities present; no parameter."""

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls()

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        return mixed(vectors, evenly(present, vectors.dtype))


class WeightedFusion(Fusion):
    """A learned weight a modality, the same for all items, as a softmax over those present (k parameters)."""

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(modalities)

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.logits = constant([[0.0]] * modalities)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        logits = self.logits(vectors.new_ones((vectors.shape[0], 1))).unsqueeze(1)
        return mixed(vectors, shared_out(logits, present))


class MaxFusion(Fusion):
    """Coordinate by coordinate, the strongest of the modalities present: largest in magnitude, with its sign.

    Item vectors have no positive half, so a plain maximum would drop what a modality says against something.  Where
    the modalities live in coordinates of their own, as they do at the start, it is their sum.  No parameter.
    """

    adds_up = False

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls()

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        there = present.unsqueeze(-1)
        strongest = vectors.abs().masked_fill(~there, -1.0).argmax(2, keepdim=True)
        chosen = torch.gather(vectors.masked_fill(~there, 0.0), 2, strongest)
        return chosen.squeeze(2)


class LateFusion(Fusion):
    """Fusion of decisions: the score of two items is the weighted mean of the scores that each modality gives alone.

    An item is its modalities' vectors side by side, [rows, items, k * d], each scaled to length 1 and by the root of
    its learned weight, so a product of two such vectors sums the modalities' cosines times their weights.
    """

    adds_up = False
    side_by_side = True

    @classmethod
    def width(cls, modalities: int, dimension: int) -> int:
        """See `Fusion.width`."""
        return modalities * dimension

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(modalities)

    def __init__(self, modalities: int) -> None:
        super().__init__()
        self.logits = constant([[0.0]] * modalities)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        logits = self.logits(vectors.new_ones((vectors.shape[0], 1))).unsqueeze(1)
        weights = shared_out(logits, present)
        # The root of a weight of exactly 0 has no slope, so a missing modality's is taken of 1 and thrown away.
        roots = torch.where(present, weights, 1.0).sqrt() * present.to(weights.dtype)
        return (unit(vectors) * roots.unsqueeze(-1)).flatten(-2)


class GatedFusion(Fusion):
    """A gate a modality and item, from all its modalities, renormalised over those present (Arevalo et al. 2017).

    Which modalities are present is an input of its own, so that a missing one is not mistaken for a zero vector.
    """

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(modalities, dimension)

    def __init__(self, modalities: int, dimension: int) -> None:
        super().__init__()
        self.gate = constant([[0.0] * (modalities * (dimension + 1))] * modalities)
        self.start = constant([[0.0]] * modalities)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        start = self.start(vectors.new_ones((vectors.shape[0], 1))).unsqueeze(1)
        gates = torch.sigmoid(self.gate(joined(vectors, present)) + start) * present.to(vectors.dtype)
        return mixed(vectors, gates / (gates.sum(-1, keepdim=True) + EPSILON))


class ConcatFusion(Fusion):
    """The mean, corrected by a network of one hidden layer over all modalities and which of them are present."""

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(modalities, dimension, generator)

    def __init__(self, modalities: int, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.hidden = linear(modalities * (dimension + 1), dimension, bias=True, generator=generator)
        self.out = linear(dimension, dimension, bias=True, generator=generator, scale=0.1)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        correction = self.out(gelu(self.hidden(joined(vectors, present))))
        anything = present.any(-1, keepdim=True).to(vectors.dtype)
        fused: Tensor = mixed(vectors, evenly(present, vectors.dtype)) + correction * anything
        return fused


class AttentionFusion(Fusion):
    """Scaled dot-product attention of an item's mean vector over its modalities (Vaswani et al. 2017, section 3.2.1).

    Values are the modalities' vectors themselves; only queries and keys are learned.
    """

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(dimension, generator)

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = min(dimension, 16)
        self.query = linear(dimension, inner, bias=True, generator=generator)
        self.key = linear(dimension, inner, bias=False, generator=generator)
        self.scale = inner**-0.5

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        query = self.query(mixed(vectors, evenly(present, vectors.dtype)))
        logits = torch.einsum("rnkj,rnj->rnk", self.key(vectors), query) * self.scale
        return mixed(vectors, shared_out(logits, present))


def build_fusion(kind: str, modalities: int, dimension: int, generator: torch.Generator) -> Fusion:
    """The fusion of that name for ``modalities`` vectors of ``dimension``. Raises ConfigError if there is none."""
    return FUSIONS[kind].build(modalities, dimension, generator)


def fused_width(kind: str, modalities: int, dimension: int) -> int:
    """The length of the vectors that a fusion gives. Raises ConfigError if there is none of that name."""
    return FUSIONS[kind].width(modalities, dimension)
