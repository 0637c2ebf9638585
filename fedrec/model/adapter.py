"""The private part of the model: one vector a user, trained on the device, that never leaves it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.model.layers import unit


class Adapter(nn.Module):
    """A user's own vector [dimension], added to the user vector; zero at the start, when it changes nothing.

    It is no part of `Recommender`, so its parameter cannot get into the flat vector of shared ones.
    """

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.vector = nn.Parameter(torch.zeros(dimension))

    def forward(self, users: Tensor) -> Tensor:
        """User vectors [..., dimension] -> adapted user vectors of length 1 (zero stays zero)."""
        return unit(users + self.vector)
