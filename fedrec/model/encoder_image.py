"""Image encoders trained from scratch on small pictures: convolutions with group norm, pooled over places.

A convolution is a linear layer over the patches of a picture, with rows first, so per-row gradients are exact by hooks
(which see items and places as one long dimension) as well as by ``torch.func``, and a matrix product is all they cost.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import pairwise
from typing import ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn.functional import group_norm, max_pool2d, unfold

from fedrec.model.encoder_head import Head
from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.layers import centred, linear
from fedrec.model.subspace import Subspace

CHANNELS = (3, 8, 16, 32)
GROUPS = 4
SIDE = 3


class Convolution(nn.Module):
    """Group norm, a 3 x 3 convolution, ReLU: maps [rows, items, channels, side, side] to maps.

    Group norm (Wu and He 2018) instead of batch norm, because batch norm mixes rows.  It has no scale or shift of its
    own: the convolution behind it has both.  Pixels are not normalised, which would take a picture's colour away.
    """

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, stride: int = 1) -> None:
        super().__init__()
        self.groups = GROUPS if inputs % GROUPS == 0 else 0
        self.stride = stride
        # Half of what comes in is lost to the ReLU before it, so weights are larger by sqrt 2 (He et al. 2015).
        self.patches = linear(SIDE * SIDE * inputs, outputs, bias=True, generator=generator, scale=2.0**0.5)

    def forward(self, maps: Tensor) -> Tensor:
        rows, items, _, height, width = maps.shape
        flat = maps.flatten(0, 1)
        if self.groups:
            flat = group_norm(flat, self.groups)
        cut = unfold(flat, SIDE, padding=SIDE // 2, stride=self.stride).transpose(1, 2)
        found = torch.relu(self.patches(cut.reshape(rows, -1, cut.shape[-1])))
        places = (-(-height // self.stride), -(-width // self.stride))
        channels_last = found.reshape(rows * items, places[0] * places[1], -1)
        return channels_last.transpose(1, 2).reshape(rows, items, -1, *places)


class Pictures(ItemEncoder):
    """Pixels [rows, items, channels, height, width] -> maps -> what is kept of the places -> head."""

    channels: ClassVar[int] = 3
    least_side: ClassVar[int] = 1
    wants = "pixels (3, height, width), a side at least 1,"
    remedy = "Set content.image.encoder to pixels, or model.image_encoder to head"
    head: Head

    @classmethod
    def reads(cls, shape: tuple[int, ...]) -> bool:
        """Pictures of so many channels, and large enough."""
        return len(shape) == 3 and shape[0] == cls.channels and min(shape[1:]) >= cls.least_side

    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """uint8 in 0..255 or float in 0..1, [rows, items, channels, height, width] -> [rows, items, dimension]."""
        like = self.head.linear.weight
        pixels = values.to(like.dtype) if values.is_floating_point() else values.to(like.dtype) / 255.0
        pixels = (2.0 * pixels - 1.0).masked_fill(~real[..., None, None, None], 0.0)
        return self.head(centred(self.pooled(self.maps(pixels))), real)  # type: ignore[no-any-return]

    def pooled(self, maps: Tensor) -> Tensor:
        """[rows, items, channels, height, width] -> [rows, items, what the head reads]: here, means over places."""
        return maps.mean((-2, -1))

    @abstractmethod
    def maps(self, pictures: Tensor) -> Tensor:
        """[rows, items, channels, height, width] -> the same with other channels, height and width."""


class SmallCNN(Pictures):
    """Three convolutions of stride 2."""

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over pixels."""
        return cls(inputs.settings.dimension, inputs.place, inputs.generator)

    def __init__(self, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(Convolution(inputs, outputs, generator, stride=2) for inputs, outputs in pairwise(CHANNELS))
        )
        self.head = Head(CHANNELS[-1], dimension, subspace, generator)

    def maps(self, pictures: Tensor) -> Tensor:
        """See `Pictures.maps`."""
        found: Tensor = self.blocks(pictures)
        return found


class SmallVGG(Pictures):
    """Three stages of two convolutions and a 2 x 2 maximum (Simonyan and Zisserman 2015, section 2.1, in small)."""

    least_side = 8
    wants = "pixels (3, height, width), a side at least 8,"

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over pixels."""
        return cls(inputs.settings.dimension, inputs.place, inputs.generator)

    def __init__(self, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(Convolution(inputs, outputs, generator), Convolution(outputs, outputs, generator))
            for inputs, outputs in pairwise(CHANNELS)
        )
        self.head = Head(CHANNELS[-1], dimension, subspace, generator)

    def maps(self, pictures: Tensor) -> Tensor:
        """See `Pictures.maps`."""
        for stage in self.stages:
            maps = stage(pictures)
            pooled = max_pool2d(maps.flatten(0, 1), 2)
            pictures = pooled.reshape(*maps.shape[:2], *pooled.shape[1:])
        return pictures
