"""A sound encoder trained from scratch on small pictures of a sound's spectrum over time."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from fedrec.model.encoder_head import Head, Subspace
from fedrec.model.encoder_image import Convolution, Pictures

CHANNELS = (1, 8, 16, 16)


class SoundCNN(Pictures):
    """Three convolutions of stride 2, the mean over time of each band of frequency that is left, then a head.

    A thing in a picture is the same thing wherever it is; a tone at another height is another tone. So only time is
    averaged away, and the head reads ``CHANNELS[-1]`` numbers for each of bands / 8 bands.
    """

    def __init__(self, bands: int, dimension: int, subspace: Subspace, generator: torch.Generator) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(Convolution(inputs, outputs, generator, stride=2) for inputs, outputs in pairwise(CHANNELS))
        )
        for _ in self.blocks:
            bands = -(-bands // 2)
        self.head = Head(CHANNELS[-1] * bands, dimension, subspace, generator)

    def maps(self, pictures: Tensor) -> Tensor:
        """See `Pictures.maps`."""
        found: Tensor = self.blocks(pictures)
        return found

    def pooled(self, maps: Tensor) -> Tensor:
        """See `Pictures.pooled`; here, means over time."""
        return maps.mean(-1).flatten(-2)
