"""Fusions in which modalities change one another: cross-attention, and a mixture of experts.

Same contract as in `fusion`.  Both add a correction to the plain mean, small at the start.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from fedrec.model.fusion_weights import Fusion, evenly, joined, mixed
from fedrec.model.layers import constant, linear, masked_softmax

INNER = 16
EXPERTS = 4


class CrossAttentionFusion(Fusion):
    """Each modality attends to all of an item's modalities and takes up what it finds; then the mean over them.

    Scaled dot-product attention, one head (Vaswani et al. 2017, section 3.2.1) among modalities as in Tsai et al. 2019,
    with a residual connection.  A missing modality neither asks nor answers.
    """

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(dimension, generator)

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = min(dimension, INNER)
        self.query = linear(dimension, inner, bias=True, generator=generator)
        self.key = linear(dimension, inner, bias=False, generator=generator)
        self.value = linear(dimension, dimension, bias=False, generator=generator, scale=0.3)
        self.scale = inner**-0.5

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        logits = torch.einsum("rnkj,rnlj->rnkl", self.query(vectors), self.key(vectors)) * self.scale
        weights = masked_softmax(logits, present.unsqueeze(-2).expand_as(logits))
        found = torch.einsum("rnkl,rnld->rnkd", weights, self.value(vectors))
        return mixed(vectors + found, evenly(present, vectors.dtype))


class MixtureFusion(Fusion):
    """A mixture of experts: `EXPERTS` linear maps of all modalities, mixed by a learned gate (Jacobs et al. 1991).

    Experts and gate also read which modalities are present, so that one can specialise in items without a picture.
    """

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        """See `Fusion.build`."""
        return cls(modalities, dimension, generator)

    def __init__(self, modalities: int, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        inputs = modalities * (dimension + 1)
        self.experts = nn.ModuleList(
            linear(inputs, dimension, bias=False, generator=generator, scale=0.3) for _ in range(EXPERTS)
        )
        self.gate = constant([[0.0] * inputs] * EXPERTS)

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        inputs = joined(vectors, present)
        answers = torch.stack([expert(inputs) for expert in self.experts], -2)
        correction = torch.einsum("rned,rne->rnd", answers, torch.softmax(self.gate(inputs), -1))
        # Without any modality all inputs are zero, and so is every answer.
        fused: Tensor = mixed(vectors, evenly(present, vectors.dtype)) + correction
        return fused
