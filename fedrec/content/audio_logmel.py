"""Sounds as small pictures of their spectrum over time, for an audio encoder that is trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool1d

from fedrec.config import AudioSettings
from fedrec.content.audio_decode import Sound, Waveform, decoded
from fedrec.content.audio_measures import QUIETEST, log_mel
from fedrec.content.audio_statistics import heard_of
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Problem, Progress, field_of


@dataclass(frozen=True)
class LogMelAudio(Encoder[Sound]):
    """A sound to uint8 [1, mels, frames]: 255 its loudest band, 0 what is 80 decibels below; low bands first.

    The sound's whole length is cut into ``frames`` equal spans of time, be it short or long.
    """

    modality: ClassVar[str] = "audio"
    kind: ClassVar[str] = "logmel"

    mels: int
    frames: int
    seconds: float
    highest: int

    @classmethod
    def fit(cls, batch: Sequence[Sound], settings: AudioSettings) -> LogMelAudio:
        """There is nothing to fit."""
        return cls(settings.mels, settings.frames, settings.seconds, settings.highest)

    @property
    def name(self) -> str:
        """See `Encoder.name`."""
        size = f"mels={self.mels} frames={self.frames}"
        return f"audio-logmel.1 {size} seconds={self.seconds} highest={self.highest}"

    @property
    def shape(self) -> tuple[int, ...]:
        """(1, mels, frames)"""
        return (1, self.mels, self.frames)

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8"""
        return np.dtype(np.uint8)

    def encode(self, batch: Sequence[Sound], *, progress: Progress | None = None) -> Encoded:
        """Encode sounds; see `Encoder.encode`."""
        out = self.empty(len(batch))
        problems: list[Problem] = []
        for place, sound in decoded(batch, self.seconds, progress, problems):
            out.values[place, 0] = self._picture(sound).numpy()
            out.present[place] = True
        return Encoded(out.values, out.present, tuple(problems))

    def _picture(self, sound: Waveform) -> torch.Tensor:
        with torch.inference_mode():
            spans = adaptive_avg_pool1d(log_mel(sound, self.mels, self.highest), self.frames)
            return (255.0 * (1.0 - spans / QUIETEST)).round().to(torch.uint8)

    def state(self) -> tuple[Arrays, Meta]:
        """See `Encoder.state`."""
        size = {"mels": self.mels, "frames": self.frames}
        return {}, {**size, "seconds": self.seconds, "highest": self.highest}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> LogMelAudio:
        """See `Encoder.from_state`."""
        return cls(field_of(meta, "mels", int), field_of(meta, "frames", int), *heard_of(meta))
