"""How a history becomes one vector: the user tower's first half, chosen by ``model.user_tower``.

Each gets item vectors [rows, n, d] in time order, oldest first, with a mask [rows, n], and gives [rows, d]; a history
without an item gives zero.  A place in time is counted back from the newest item that is there, so padding changes
nothing wherever it lies.  All but the mean (nearly) start as it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from fedrec.model.layers import constant, linear, masked_mean, masked_softmax
from fedrec.model.recurrent import GatedCell

INNER = 16
_DECAY = -0.2


class History(nn.Module, ABC):
    """Item vectors [rows, n, d], oldest first, with a mask [rows, n] -> [rows, d]; without an item, zero.

    Padding changes nothing, wherever it lies, and no row sees another.  ``reads_order``: whether the items' order
    matters.
    """

    reads_order: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def build(cls, dimension: int, generator: torch.Generator) -> Self:
        """Build one for vectors of length ``dimension``; initial values are the generator's alone."""

    @abstractmethod
    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        """See the class."""


class MeanHistory(History):
    """The plain mean; no parameter."""

    @classmethod
    def build(cls, dimension: int, generator: torch.Generator) -> Self:
        """See `History.build`."""
        return cls()

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return masked_mean(vectors, mask)


class RecencyHistory(History):
    """A weighted mean, the weights a softmax of a learned function of how many items came later (2 parameters).

    The logit of an item with ``a`` later ones is u log(1 + a) + v a / 16: a power law times an exponential decay, and
    either can also turn to prefer what is old.
    """

    reads_order = True

    @classmethod
    def build(cls, dimension: int, generator: torch.Generator) -> Self:
        """See `History.build`."""
        return cls()

    def __init__(self) -> None:
        super().__init__()
        self.decay = constant([[_DECAY, 0.0]])

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        return _weighted(vectors, masked_softmax(self.logits(mask, vectors.dtype), mask))

    def logits(self, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """[rows, n], the newest item's is 0."""
        later = age(mask).to(dtype)
        decayed: Tensor = self.decay(torch.stack([torch.log1p(later), later / 16.0], -1)).squeeze(-1)
        return decayed


class GatedHistory(History):
    """The mean, corrected by a gated recurrent unit read from the oldest item to the newest (Hidasi et al. 2016)."""

    reads_order = True

    @classmethod
    def build(cls, dimension: int, generator: torch.Generator) -> Self:
        """See `History.build`."""
        return cls(dimension, generator)

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        self.cell = GatedCell(dimension, min(dimension, 2 * INNER), generator)
        self.out = linear(self.cell.hidden, dimension, bias=False, generator=generator, scale=0.3)

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        # Item vectors have length 1, so their coordinates are small: brought to 1 for the gates' sake.
        state = self.cell(vectors * vectors.shape[-1] ** 0.5, mask)
        # No item leaves the state at zero, and the correction with it.
        corrected: Tensor = masked_mean(vectors, mask) + self.out(state) * self.cell.hidden**-0.5
        return corrected


class AttentionHistory(History):
    """Self-attention among the items, then attentive pooling with learned recency (Kang and McAuley 2018, section III).

    One head; values are the item vectors themselves, so only the weights are learned.  The pooling's query is the same
    for all candidates: a user has one vector, whatever is ranked.
    """

    reads_order = True

    @classmethod
    def build(cls, dimension: int, generator: torch.Generator) -> Self:
        """See `History.build`."""
        return cls(dimension, generator)

    def __init__(self, dimension: int, generator: torch.Generator) -> None:
        super().__init__()
        inner = min(dimension, INNER)
        self.query = linear(dimension, inner, bias=True, generator=generator)
        self.key = linear(dimension, inner, bias=False, generator=generator)
        self.pool = linear(dimension, 1, bias=False, generator=generator)
        self.recency = RecencyHistory()
        self.scale = inner**-0.5

    def forward(self, vectors: Tensor, mask: Tensor) -> Tensor:
        logits = torch.einsum("rij,rnj->rin", self.query(vectors), self.key(vectors)) * self.scale
        weights = masked_softmax(logits, mask.unsqueeze(1).expand_as(logits))
        seen = vectors + torch.einsum("rin,rnd->rid", weights, vectors)
        pooled = self.pool(seen).squeeze(-1) + self.recency.logits(mask, vectors.dtype)
        return _weighted(seen, masked_softmax(pooled, mask))


def age(mask: Tensor) -> Tensor:
    """How many real items come later than each place: int [rows, n]; 0 for the newest."""
    counted = mask.long()
    return counted.flip(-1).cumsum(-1).flip(-1) - counted


def _weighted(vectors: Tensor, weights: Tensor) -> Tensor:
    return (weights.unsqueeze(-2) @ vectors).squeeze(-2)
