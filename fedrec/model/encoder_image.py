"""An image encoder trained from scratch on small pictures: three strided convolutions with group norm."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fedrec.model.encoder_head import Head, Subspace
from fedrec.model.layers import blank, centred

CHANNELS = (3, 8, 16, 32)
GROUPS = 4


class SmallCNN(nn.Module):
    """Pixels [rows, items, 3, side, side] -> three blocks (convolution, group norm, ReLU) -> mean over places -> head.

    Group norm (Wu and He 2018) instead of batch norm, because batch norm mixes rows.  Convolutions fold items into the
    batch, so hooks would lose the row: use ``torch.func``.
    """

    flattens_rows = True
    reads_tokens = False

    def __init__(self, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_block(inputs, outputs, generator) for inputs, outputs in pairwise(CHANNELS))
        self.head = Head(CHANNELS[-1], dimension, subspace, generator)

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """uint8 in 0..255 or float in 0..1, [rows, items, 3, side, side] -> [rows, items, dimension]."""
        like = self.head.linear.weight
        pixels = values.to(like.dtype) if values.is_floating_point() else values.to(like.dtype) / 255.0
        pixels = pixels.masked_fill(~real[..., None, None, None], 0.0)
        maps = pixels.flatten(0, 1)
        for block in self.blocks:
            maps = torch.relu(block(maps))
        pooled = maps.mean((-2, -1)).reshape(*real.shape, -1)
        return self.head(centred(pooled), real)  # type: ignore[no-any-return]


def _block(inputs: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    convolution = blank(nn.Conv2d, inputs, outputs, 3, stride=2, padding=1, bias=False)
    nn.init.normal_(convolution.weight, std=(2.0 / (9 * inputs)) ** 0.5, generator=generator)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs))
