"""Sounds by their timbre and pitches: MFCC and chroma, summed up over time. Quick, and without a download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.config import AudioSettings
from fedrec.content.audio_decode import Sound, Waveform, decoded
from fedrec.content.audio_measures import COEFFICIENTS, PITCHES, chroma, log_mel, mfcc
from fedrec.content.encoder import Arrays, Encoded, Meta, Problem, Progress, field_of
from fedrec.content.projected import ProjectedEncoder
from fedrec.content.projection import Projection
from fedrec.errors import ContentError

BANDS = 40


class AudioExtractor:
    """A sound to means and deviations over time: of MFCC, of how MFCC change from frame to frame, and of chroma.

    The change tells tempo, which mean and deviation of the values themselves do not (Furui 1986: the first difference).
    """

    width = 3 * COEFFICIENTS + 2 * PITCHES

    def __init__(self, seconds: float, highest: int) -> None:
        self.seconds, self.highest = seconds, highest

    @property
    def name(self) -> str:
        """See `Extractor.name`."""
        return f"sound-statistics.1 seconds={self.seconds} highest={self.highest}"

    def extract(self, batch: Sequence[Sound], progress: Progress | None = None) -> Encoded:
        """Measure sounds; see `Extractor.extract`."""
        values = np.zeros((len(batch), self.width), np.float32)
        present = np.zeros(len(batch), np.bool_)
        problems: list[Problem] = []
        for place, sound in decoded(batch, self.seconds, progress, problems):
            values[place] = self._measured(sound)
            present[place] = True
        return Encoded(values, present, tuple(problems))

    def _measured(self, sound: Waveform) -> NDArray[np.float32]:
        with torch.inference_mode():
            timbre = mfcc(log_mel(sound, BANDS, self.highest))
            pitch = chroma(sound, self.highest)
            change = (timbre[:, 1:] - timbre[:, :-1]).square().sum(1) / max(1, timbre.shape[1] - 1)
            parts = (timbre.mean(1), _deviation(timbre), change.sqrt(), pitch.mean(1), _deviation(pitch))
            measured: NDArray[np.float32] = torch.cat(parts).numpy()
        return measured


class StatisticsAudio(ProjectedEncoder[Sound]):
    """A sound to its measures, standardised over the catalogue and cut to their leading directions.

    Rows have a root mean square norm of 1 over the catalogue.
    """

    modality: ClassVar[str] = "audio"
    kind: ClassVar[str] = "statistics"
    standardise = True
    unit = False

    @classmethod
    def extractor_of(cls, settings: AudioSettings) -> AudioExtractor:
        """See `ProjectedEncoder.extractor_of`."""
        return AudioExtractor(settings.seconds, settings.highest)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        assert isinstance(self.extractor, AudioExtractor)
        heard = {"seconds": self.extractor.seconds, "highest": self.extractor.highest}
        return self.projection.arrays(), {"dimension": self.dimension, **heard}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> StatisticsAudio:
        """See `Encoder.from_state`."""
        seconds, highest = heard_of(meta)
        projection = Projection.from_arrays(arrays, AudioExtractor.width)
        return cls(AudioExtractor(seconds, highest), field_of(meta, "dimension", int), projection)


def heard_of(meta: Meta) -> tuple[float, int]:
    """``seconds`` and ``highest`` of a saved state. Raises ContentError where they are damaged."""
    seconds, highest = float(field_of(meta, "seconds", (int, float))), field_of(meta, "highest", int)
    if not (seconds > 0 and highest > 0):
        raise ContentError("a saved encoder's settings are damaged", action="Build the features again")
    return seconds, highest


def _deviation(series: torch.Tensor) -> torch.Tensor:
    return series.std(1, correction=0)
