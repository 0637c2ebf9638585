"""Small sounds for the tests of ``fedrec.content``."""

from __future__ import annotations

import io
import wave

import numpy as np

RATE = 8_000


def wav(samples: np.ndarray, *, rate: int = RATE, channels: int = 1, width: int = 2) -> bytes:
    """A WAV file of samples in -1..1; for two channels [n, 2]."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(width)
        out.setframerate(rate)
        out.writeframes(np.round(np.asarray(samples) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def tone(hertz: float, *, seconds: float = 0.5, rate: int = RATE, loud: float = 0.5) -> np.ndarray:
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def sound(shade: int) -> bytes:
    """A sound, another for each shade: a tone, its overtone, and beats."""
    hertz, beats = 150 + 90 * shade, 2 + (5 * shade) % 9
    both = tone(hertz) + 0.1 * (shade % 4) * tone(2 * hertz)
    return wav(0.8 * both * (0.6 + 0.4 * np.sign(tone(beats))))


SOUNDS = [sound(shade) for shade in range(9)]
