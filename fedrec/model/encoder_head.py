"""The item encoder over ready features: a linear head a modality.

Few parameters mean little noise under differential privacy (the noise's length grows with the root of their number), so
a head has no hidden layer.  And training under privacy is short, so it starts as a usable model: a random projection
that keeps inner products (Johnson and Lindenstrauss 1984), each modality in its own part of the space.
``warm_start`` does better where the catalogue is at hand.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.item_table import Looked
from fedrec.model.layers import blank, is_layout, orthonormal, unit
from fedrec.model.subspace import Subspace


class Head(ItemEncoder):
    """Linear(width -> dimension) on features scaled to length 1.

    At the start, with zero bias, the inner product of two outputs is the cosine of the two inputs: exactly where the
    subspace is as large as the width, else in expectation over the seed, with an error of about subspace^-1/2.
    """

    keeps_width = True
    looks_up = True

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Head:
        """Build one over vectors."""
        return cls(inputs.shape[0], inputs.settings.dimension, inputs.place, inputs.generator)

    def __init__(self, width: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.linear = blank(nn.Linear, width, dimension, bias=True)
        self.subspace = subspace
        size = subspace.size
        scale = max(width / size, 1.0) ** 0.5
        if is_layout(self.linear.weight.device):
            return
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

    def read(self, values: Tensor) -> Tensor:
        """[items, width], scaled to length 1."""
        return unit(values)

    def encode(self, items: Looked) -> Tensor:
        """See `ItemEncoder.encode`."""
        return self.linear(items)  # type: ignore[no-any-return]
