"""The private part of the model: one vector a user, trained on the device, that never leaves it."""

from __future__ import annotations

from torch import Tensor, nn

from fedrec.model.layers import unit


class Adapter(nn.Module):
    """Users' own vectors, [users, dimension], each added to its user's; where zero they change nothing.

    It is no part of `Recommender`, so its parameter cannot get into the flat vector of shared ones.
    """

    def __init__(self, vectors: Tensor) -> None:
        super().__init__()
        self.vectors = nn.Parameter(vectors)

    def forward(self, users: Tensor) -> Tensor:
        """Adapt user vectors [users, dimension]: float [users, dimension] of length 1 (zero stays zero)."""
        return unit(users + self.vectors)
