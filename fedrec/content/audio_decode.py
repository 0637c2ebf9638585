"""A sound file to one channel of numbers, or the reason why not. Files are taken as hostile.

WAV of 16-bit PCM, mono or stereo, is what the standard library reads; whatever it raises becomes a reason.
"""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.content.encoder import Problem, Progress, chunks
from fedrec.content.files import File, UnreadableError, read_file

Sound = File
SLOWEST, FASTEST = 2_000, 192_000
"""Samples a second."""
BATCH = 64


@dataclass(frozen=True, eq=False)
class Waveform:
    """One channel: ``samples`` float32 [n] in -1..1, n at least 1, not all equal; ``rate`` of them a second."""

    samples: NDArray[np.float32]
    rate: int


def open_sound(sound: bytes | Path, *, seconds: float) -> Waveform:
    """Decode the first ``seconds``; of stereo, the mean of both channels.

    Raises:
        UnreadableError: not such a file, cut off (fewer samples than its header says), or silent.
    """
    data = read_file(sound)
    try:
        with wave.open(io.BytesIO(data)) as file:
            channels, bits = file.getnchannels(), 8 * file.getsampwidth()
            rate, frames = file.getframerate(), file.getnframes()
            if channels not in (1, 2) or bits != 16 or not SLOWEST <= rate <= FASTEST:
                raise UnreadableError(f"sound of {channels} channels, {bits} bits and {rate} samples a second")
            raw = file.readframes(frames)
    except UnreadableError:
        raise
    except Exception as error:  # a damaged header makes the reader raise several kinds
        raise UnreadableError(f"not a WAV file of PCM samples: {str(error)[:80] or type(error).__name__}") from None
    if len(raw) != 2 * channels * frames:
        raise UnreadableError(f"sound is cut off: {len(raw)} of {2 * channels * frames} bytes")
    kept = np.frombuffer(raw, "<i2").reshape(-1, channels)[: max(1, int(seconds * rate))]
    samples = kept.mean(axis=1, dtype=np.float32) / np.float32(2**15)
    if not len(samples) or np.ptp(samples) == 0:
        raise UnreadableError("sound is silent")
    return Waveform(samples, rate)


def decoded(
    batch: Sequence[Sound], seconds: float, progress: Progress | None, problems: list[Problem]
) -> Iterator[tuple[int, Waveform]]:
    """The places and waveforms of the sounds that can be used; the others that are there go to ``problems``."""
    for part in chunks(len(batch), BATCH, progress, "audio"):
        for place, sound in enumerate(batch[part], part.start):
            if sound is None:
                continue
            try:
                yield place, open_sound(sound, seconds=seconds)
            except UnreadableError as error:
                problems.append(Problem(place, str(error)))
