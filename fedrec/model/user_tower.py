"""The user tower: a user is what the user touched, wrote and photographed.

What was touched becomes one vector in `history`; notes and photos are averaged.  The weights of the three sources
depend on how much history there is: notes and photos speak for a newcomer, the history for a regular.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fedrec.model.history import History, MeanHistory
from fedrec.model.layers import constant, masked_mean, masked_softmax, unit
from fedrec.model.registry import USER_TOWERS

_FULL = math.log(65)
# History's logit rises from 1 to 2 over a full history, notes' and photos' start at 0: a source of the user's own
# words gets a quarter of the say beside a few events, a tenth beside many.
_START = {"history": (1.0, 1.0), "notes": (0.0, 0.0), "photos": (0.0, 0.0)}

Source = tuple[Tensor, Tensor]


class UserTower(nn.Module):
    """A vector of the history (their mean, unless ``history`` is given); with ``notes`` or ``photos`` also those, mixed
    by learned weights.

    The weights are a softmax, over the sources a user has, of a linear function of [1, log(1 + events) / log 65].
    """

    def __init__(self, history: nn.Module | None = None, *, notes: bool, photos: bool) -> None:
        super().__init__()
        self.history = MeanHistory() if history is None else history
        self.sources = ("history",) + ("notes",) * notes + ("photos",) * photos
        self.mixture = constant([_START[name] for name in self.sources]) if len(self.sources) > 1 else None

    def forward(self, history: Source, notes: Source | None, photos: Source | None) -> Tensor:
        """Vectors [rows, n, d] with masks [rows, n] -> user vectors [rows, d] of length 1; nothing known -> zero.

        A source that the tower was built without is ignored.
        """
        vectors, mask = history
        touched: Tensor = unit(self.history(vectors, mask))
        if self.mixture is None:
            return touched
        given = {"notes": notes, "photos": photos}
        rows, _, dimension = vectors.shape
        nothing: Source = (vectors.new_zeros((rows, 1, dimension)), mask.new_zeros((rows, 1)))
        own = [given[name] or nothing for name in self.sources[1:]]
        means = torch.stack([touched] + [unit(masked_mean(v, m)) for v, m in own], 1)
        there = torch.stack([mask.any(-1)] + [m.any(-1) for _, m in own], 1)
        amount = torch.log1p(mask.sum(-1, keepdim=True).to(vectors.dtype)) / _FULL
        logits = self.mixture(torch.cat([torch.ones_like(amount), amount], -1))
        return unit(torch.einsum("rsd,rs->rd", means, masked_softmax(logits, there)))


def build_history(kind: str, dimension: int, generator: torch.Generator) -> History:
    """The history part of that name for item vectors of length ``dimension``. Raises ConfigError if there is none."""
    return USER_TOWERS[kind].build(dimension, generator)
