"""A sound encoder trained from scratch on small pictures of a sound's spectrum over time."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

from fedrec.model.encoder_head import Head
from fedrec.model.encoder_image import Convolution, Pictures
from fedrec.model.item_encoder import EncoderInputs
from fedrec.model.subspace import Subspace

CHANNELS = (1, 8, 16, 16)


class SoundCNN(Pictures):
    """Three convolutions of stride 2, the mean over time of each band of frequency that is left, then a head.

    A thing in a picture is the same thing wherever it is; a tone at another height is another tone. So only time is
    averaged away, and the head reads ``CHANNELS[-1]`` numbers for each of bands / 8 bands.
    """

    channels = CHANNELS[0]
    wants = "pixels (1, height, width), a side at least 1,"
    remedy = "Set content.audio.encoder to logmel, or model.audio_encoder to head"

    @classmethod
    def build(cls, inputs: EncoderInputs) -> Self:
        """Build one over spectra (1, bands, spans of time)."""
        return cls(inputs.shape[1], inputs.settings.dimension, inputs.place, inputs.generator)

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
