"""The item encoder over ready features: a linear head a modality.

Few parameters mean little noise under differential privacy (the noise's length grows with the root of their number), so
a head has no hidden layer.  And training under privacy is short, so it starts as a usable model: a random projection
that keeps inner products (Johnson and Lindenstrauss 1984), each modality in its own part of the space.
``warm_start`` does better where the catalogue is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedrec.model.layers import blank, orthonormal, unit


@dataclass(frozen=True)
class Subspace:
    """The coordinates ``start`` to ``start + size`` of the item space, where a modality's vectors begin."""

    start: int
    size: int

    @property
    def places(self) -> range:
        return range(self.start, self.start + self.size)


def subspaces(widths: Mapping[str, int], dimension: int) -> dict[str, Subspace]:
    """Share ``dimension`` coordinates out among modalities: evenly, but none gets more than its width.

    Where there are fewer coordinates than modalities, all share the whole space.
    """
    if dimension < len(widths):
        return {name: Subspace(0, dimension) for name in widths}
    sizes = dict.fromkeys(widths, 0)
    left = dimension
    while left and (open_ := [name for name in widths if sizes[name] < widths[name]]):
        for name in open_[:left]:
            sizes[name] += 1
        left = dimension - sum(sizes.values())
    found, start = {}, 0
    for name, size in sizes.items():
        found[name] = Subspace(start, size)
        start += size
    return found


class Head(nn.Module):
    """Linear(width -> dimension) on features scaled to length 1.

    At the start, with zero bias, the inner product of two outputs is the cosine of the two inputs: exactly where the
    subspace is as large as the width, else in expectation over the seed, with an error of about subspace^-1/2.
    """

    flattens_rows = False
    reads_tokens = False

    def __init__(self, width: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = blank(nn.Linear, width, dimension, bias=True)
        self.subspace = subspace
        size = subspace.size
        scale = max(width / size, 1.0) ** 0.5
        with torch.no_grad():
            self.linear.weight.zero_()
            self.linear.weight[subspace.places] = scale * orthonormal(size, width, generator)
            self.linear.bias.zero_()

    @property
    def width(self) -> int:
        """Of the features."""
        return int(self.linear.weight.shape[1])

    def start(self, weight: Tensor, bias: Tensor) -> None:
        """Begin with these instead, [dimension, width] and [dimension]."""
        with torch.no_grad():
            self.linear.weight.copy_(weight)
            self.linear.bias.copy_(bias)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """[rows, items, width] -> [rows, items, dimension]; features where ``real`` is False count as zeros."""
        known = values.to(self.linear.weight.dtype).masked_fill(~real.unsqueeze(-1), 0.0)
        return self.linear(unit(known))  # type: ignore[no-any-return]
