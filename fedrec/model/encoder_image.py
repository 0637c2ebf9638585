"""Image encoders trained from scratch on small pictures: convolutions with group norm, pooled over places."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d

from fedrec.model.encoder_head import Head, Subspace
from fedrec.model.layers import blank, centred

CHANNELS = (3, 8, 16, 32)
GROUPS = 4


class _Pictures(nn.Module, ABC):
    """Pixels [rows, items, 3, side, side] -> maps -> mean over places -> head.

    Group norm (Wu and He 2018) instead of batch norm, because batch norm mixes rows.  Convolutions fold items into the
    batch, so hooks would lose the row: use ``torch.func``.
    """

    flattens_rows = True
    reads_tokens = False
    head: Head

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """uint8 in 0..255 or float in 0..1, [rows, items, 3, side, side] -> [rows, items, dimension]."""
        like = self.head.linear.weight
        pixels = values.to(like.dtype) if values.is_floating_point() else values.to(like.dtype) / 255.0
        pixels = pixels.masked_fill(~real[..., None, None, None], 0.0)
        pooled = self.maps(pixels.flatten(0, 1)).mean((-2, -1)).reshape(*real.shape, -1)
        return self.head(centred(pooled), real)  # type: ignore[no-any-return]

    @abstractmethod
    def maps(self, pictures: Tensor) -> Tensor:
        """[pictures, 3, side, side] -> [pictures, channels, height, width]."""


class SmallCNN(_Pictures):
    """Three blocks of a convolution of stride 2, group norm and ReLU."""

    def __init__(self, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            _block(inputs, outputs, generator, stride=2) for inputs, outputs in pairwise(CHANNELS)
        )
        self.head = Head(CHANNELS[-1], dimension, subspace, generator)

    def maps(self, pictures: Tensor) -> Tensor:
        """See `_Pictures.maps`."""
        for block in self.blocks:
            pictures = torch.relu(block(pictures))
        return pictures


class SmallVGG(_Pictures):
    """Three stages of two 3 x 3 convolutions and a 2 x 2 maximum (Simonyan and Zisserman 2015, section 2.1, in small).

    Each convolution is followed by group norm and ReLU.
    """

    LEAST_SIDE = 8

    def __init__(self, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList([_block(inputs, outputs, generator), _block(outputs, outputs, generator)])
            for inputs, outputs in pairwise(CHANNELS)
        )
        self.head = Head(CHANNELS[-1], dimension, subspace, generator)

    def maps(self, pictures: Tensor) -> Tensor:
        """See `_Pictures.maps`."""
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            for block in stage:
                pictures = torch.relu(block(pictures))
            pictures = max_pool2d(pictures, 2)
        return pictures


def _block(inputs: int, outputs: int, generator: torch.Generator, stride: int = 1) -> nn.Sequential:
    convolution = blank(nn.Conv2d, inputs, outputs, 3, stride=stride, padding=1, bias=False)
    nn.init.normal_(convolution.weight, std=(2.0 / (9 * inputs)) ** 0.5, generator=generator)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs))
