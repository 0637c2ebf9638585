"""Videos as pooled frames: what is measured on each picture of a video, averaged over its pictures.

Nothing here decodes a video: frames are picture files, cut out beforehand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np

from fedrec.config import ImageSettings, VideoSettings
from fedrec.content.encoder import Arrays, Encoded, Meta, Problem, Progress, chunks, field_of
from fedrec.content.image_backbone import BackboneExtractor, extractor_of
from fedrec.content.image_decode import Picture
from fedrec.content.image_statistics import StatisticsExtractor
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.errors import ContentError

Video = Sequence[Picture]
"""Frames in order; none at all is a missing video."""
BATCH = 16
"""Videos."""
_FrameExtractor = StatisticsExtractor | BackboneExtractor


class FramesExtractor:
    """A video to the mean of what ``of_frame`` measures on at most ``frames`` of its frames, evenly spaced.

    A frame that cannot be read is left out of the mean and reported; a video of which none can be read is missing.
    """

    def __init__(self, of_frame: _FrameExtractor, frames: int) -> None:
        self.of_frame, self.frames = of_frame, frames

    @property
    def name(self) -> str:
        """See `Extractor.name`."""
        return f"mean.1 frames={self.frames} of {self.of_frame.name}"

    @property
    def width(self) -> int:
        """See `Extractor.width`."""
        return self.of_frame.width

    def extract(self, batch: Sequence[Video], progress: Progress | None = None) -> Encoded:
        """Measure videos; see `Extractor.extract`."""
        values = np.zeros((len(batch), self.width), np.float32)
        present = np.zeros(len(batch), np.bool_)
        problems: list[Problem] = []
        for part in chunks(len(batch), BATCH, progress, "video"):
            chosen = [_spread(video, self.frames) for video in batch[part]]
            of = np.repeat(np.arange(part.start, part.stop), [len(frames) for frames in chosen])
            measured = self.of_frame.extract([frame for frames in chosen for frame in frames])
            problems += [Problem(int(of[wrong.place]), f"frame: {wrong.reason}") for wrong in measured.problems]
            for place in range(part.start, part.stop):
                frames = measured.values[(of == place) & measured.present]
                if len(frames):
                    values[place], present[place] = frames.mean(axis=0), True
        return Encoded(values, present, tuple(problems))


class VideoFrames(ProjectedEncoder[Video]):
    """A video to its frames' mean measures, centred on the catalogue and cut to their leading directions."""

    modality: ClassVar[str] = "video"
    block = BATCH

    @classmethod
    def extractor_of(cls, settings: VideoSettings) -> FramesExtractor:
        """See `ProjectedEncoder.extractor_of`. Raises ContentError where a backbone's weights are not at hand."""
        return frames_extractor(settings)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`. Weights of a backbone are named by their hash, not stored."""
        extractor = self.extractor
        assert isinstance(extractor, FramesExtractor)
        of_frame = extractor.of_frame
        network, weights = (
            (of_frame.network, of_frame.sha256) if isinstance(of_frame, BackboneExtractor) else ("statistics", "")
        )
        facts = {"dimension": self.dimension, "frames": extractor.frames}
        return self.projection.arrays(), {**facts, "encoder": network, "side": of_frame.side, "sha256": weights}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> Self:
        """See `Encoder.from_state`. A backbone's weights must be at hand, and the same file as before."""
        dimension, frames = field_of(meta, "dimension", int), field_of(meta, "frames", int)
        settings = {"encoder": field_of(meta, "encoder", str), "size": field_of(meta, "side", int)}
        weights = field_of(meta, "sha256", str)
        try:
            chosen = VideoSettings.model_validate({**settings, "frames": frames})
        except ValueError:
            raise ContentError("a saved encoder's settings are damaged", action="Build the features again") from None
        extractor = frames_extractor(chosen)
        if isinstance(extractor.of_frame, BackboneExtractor):
            extractor.of_frame.hold_to(weights)
        return cls(extractor, dimension, Projection.from_arrays(arrays, extractor.width))


class VideoStatistics(VideoFrames):
    """Of colours, layout and edges, standardised: rows have a root mean square norm of 1 over the catalogue."""

    kind: ClassVar[str] = "statistics"
    standardise = True
    unit = False


class VideoBackbone(VideoFrames):
    """Of a frozen network, scaled to norm 1 in each row."""

    kind: ClassVar[str] = "backbone"


def frames_extractor(settings: VideoSettings) -> FramesExtractor:
    """The extractor that the settings ask for. Raises ContentError where a backbone's weights are not at hand."""
    if settings.encoder == "statistics":
        return FramesExtractor(StatisticsExtractor(settings.size), settings.frames)
    as_image = ImageSettings(encoder=settings.encoder, size=settings.size)
    return FramesExtractor(extractor_of(as_image), settings.frames)


def _spread(video: Video, most: int) -> list[Any]:
    """At most so many frames, evenly spaced, the first and the last among them."""
    if len(video) <= most:
        return list(video)
    return [video[round(place)] for place in np.linspace(0, len(video) - 1, most)]
