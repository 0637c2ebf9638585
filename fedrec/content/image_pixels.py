"""Pictures as small RGB arrays, for an image encoder that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedrec.config import ImageSettings
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Problem, Progress, chunks, field_of
from fedrec.content.image_decode import LARGEST_SIDE, Picture, decode_batch

BATCH = 64


@dataclass(frozen=True)
class PixelsImage(Encoder[Picture]):
    """A picture to uint8 [3, side, side], red, green, blue, the whole picture squeezed into the square."""

    modality: ClassVar[str] = "image"
    kind: ClassVar[str] = "pixels"

    side: int

    @classmethod
    def fit(cls, batch: Sequence[Picture], settings: ImageSettings) -> PixelsImage:
        """There is nothing to fit."""
        return cls(settings.size)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"image-pixels.1 side={self.side}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(3, side, side)"""
        return (3, self.side, self.side)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8"""
        return np.dtype(np.uint8)

    def encode(self, batch: Sequence[Picture], *, progress: Progress | None = None) -> Encoded:
        """Decode pictures; see `Encoder.encode`."""
        out = self.empty(len(batch))
        problems: list[Problem] = []
        for part in chunks(len(batch), BATCH, progress, "image"):
            pixels, _, out.present[part], wrong = decode_batch(batch[part], self.side)
            out.values[part] = pixels.transpose(0, 3, 1, 2)
            problems += [Problem(part.start + problem.place, problem.reason) for problem in wrong]
        return Encoded(out.values, out.present, tuple(problems))

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        return {}, {"side": self.side}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> PixelsImage:
        """See `Encoder.from_state`."""
        return cls(field_of(meta, "side", int, most=LARGEST_SIDE))
