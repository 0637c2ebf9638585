"""Pictures by their colours, layout and edges: quick, without a download, on a device for its user's photos too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fedrec.config import ImageSettings
from fedrec.content import image_measures
from fedrec.content.encoder import Arrays, Encoded, Meta, Problem, Progress, chunks, field_of
from fedrec.content.image_decode import LARGEST_SIDE, Picture, decode_batch
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection

BATCH = 64


class StatisticsExtractor:
    """A picture to the measures of `image_measures` and its aspect, taken at ``side`` x ``side`` pixels."""

    width = image_measures.WIDTH + 1

    def __init__(self, side: int) -> None:
        self.side = side

    @property
    def name(self) -> str:
        """See `Extractor.name`."""
        return f"picture-statistics.1 side={self.side}"

    def extract(self, batch: Sequence[Picture], progress: Progress | None = None) -> Encoded:
        """Measure pictures; see `Extractor.extract`."""
        values = np.zeros((len(batch), self.width), np.float32)
        present = np.zeros(len(batch), np.bool_)
        problems: list[Problem] = []
        for part in chunks(len(batch), BATCH, progress, "image"):
            pixels, aspect, there, wrong = decode_batch(batch[part], self.side)
            present[part] = there
            problems += [Problem(part.start + problem.place, problem.reason) for problem in wrong]
            measures = image_measures.measure(pixels[there].astype(np.float32) / np.float32(255))
            values[part.start + np.flatnonzero(there)] = np.column_stack([measures, aspect[there]])
        return Encoded(values, present, tuple(problems))


class StatisticsImage(ProjectedEncoder[Picture]):
    """A picture to its measures, standardised over the catalogue and cut to their leading directions.

    Rows have a root mean square norm of 1 over the catalogue.
    """

    modality: ClassVar[str] = "image"
    kind: ClassVar[str] = "statistics"
    standardise = True
    unit = False

    @classmethod
    def extractor_of(cls, settings: ImageSettings) -> StatisticsExtractor:
        """See `ProjectedEncoder.extractor_of`."""
        return StatisticsExtractor(settings.size)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        assert isinstance(self.extractor, StatisticsExtractor)
        return self.projection.arrays(), {"dimension": self.dimension, "side": self.extractor.side}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> StatisticsImage:
        """See `Encoder.from_state`."""
        extractor = StatisticsExtractor(field_of(meta, "side", int, most=LARGEST_SIDE))
        projection = Projection.from_arrays(arrays, extractor.width)
        return cls(extractor, field_of(meta, "dimension", int), projection)
