"""Encoders in two steps: frozen measurements of each piece of content, then a projection fitted on the catalogue.

The first step can be slow and depends on no other item, so its results are cached on their own and serve every
dimension.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np

from fedrec.content.encoder import Arrays, Content, Encoded, Encoder, Meta, Progress
from fedrec.content.projection import Projection
from fedrec.errors import ContentError

Measured = TypeVar("Measured", contravariant=True)


class Extractor(Protocol[Measured]):
    """A frozen function from content to measurements."""

    @property
    def name(self) -> str:
        """Kind, version and settings, as one line."""

    @property
    def width(self) -> int:
        """Measurements of one piece of content."""

    def extract(self, batch: Sequence[Measured], progress: Progress | None = None) -> Encoded:
        """Measure a batch: float32 [n, width]."""


class ProjectedEncoder(Encoder[Content], Generic[Content]):
    """An `Extractor` and a `Projection`; subclasses say which extractor and how it is projected."""

    standardise = False
    unit = True

    @classmethod
    @abstractmethod
    def extractor_of(cls, settings: Any) -> Extractor[Content]:
        """The extractor that the modality's settings ask for. Raises ContentError where it cannot work here."""

    @classmethod
    def fit(cls, batch: Sequence[Content], settings: Any, *, progress: Progress | None = None) -> Self:
        """Measure the catalogue and fit the projection to ``settings.dimension``.

        Raises:
            ContentError: nothing is readable, or the extractor cannot work here.
        """
        extractor = cls.extractor_of(settings)
        return cls.fit_measured(extractor, extractor.extract(batch, progress), settings.dimension)

    def __init__(self, extractor: Extractor[Content], dimension: int, projection: Projection) -> None:
        self.extractor = extractor
        self.dimension = dimension
        self.projection = projection

    @classmethod
    def fit_measured(cls, extractor: Extractor[Content], measured: Encoded, dimension: int) -> Self:
        """Fit on what ``extractor`` measured on the catalogue.

        The width is ``dimension``, or less where there are fewer measurements or items.

        Raises:
            ContentError: nothing is present.
        """
        if not measured.present.any():
            raise ContentError(
                f"no item of the catalogue has a readable {cls.modality}",
                action=f"Leave '{cls.modality}' out of content.modalities",
            )
        rows = measured.values[measured.present]
        projection = Projection.fit(rows, dimension, standardise=cls.standardise, unit=cls.unit)
        return cls(extractor, dimension, projection)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        return f"{self.modality}-{self.kind} dimension={self.dimension} of {self.extractor.name}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(features,)"""
        return (self.projection.width,)

    def encode(self, batch: Sequence[Content], *, progress: Progress | None = None) -> Encoded:
        """Measure and project; see `Encoder.encode`."""
        return self.project(self.extractor.extract(batch, progress))

    def project(self, measured: Encoded) -> Encoded:
        """Project what the extractor measured; rows not present stay zero."""
        values = np.where(measured.present[:, None], self.projection.apply(measured.values), np.float32(0))
        return Encoded(values, measured.present, measured.problems)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        return self.projection.arrays(), {"dimension": self.dimension}
