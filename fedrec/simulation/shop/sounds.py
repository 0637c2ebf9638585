"""What the shop's items sound like: half a second in which a note is struck again and again.

Each part of an item says something of its sound, blurred at random: the first text dimension how high the note is, the
first two visual dimensions how bright and how breathy, the hidden dimensions how often it is struck and how fast it
dies away. So a sound repeats some of what words and pictures tell, and gives away some of what neither does.
"""

from __future__ import annotations

import io
import wave

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from fedrec.simulation.shop.latents import HIDDEN, TEXT, VISUAL

RATE, SECONDS = 8_000, 0.5
MISSING = 0.1
"""Share of items without a sound."""
BLUR = 0.3
"""Deviation of what is added to a dimension, which itself has 1."""
_LOWEST, _OCTAVES = 220.0, 2.0
_OVERTONES = np.arange(1, 5)
_SLOWEST, _FASTER = 3.0, 9.0
_LONGEST, _SHORTER = 2.0, 6.0
_PUREST, _BREATHIER = 0.002, 12.0
CARRIED = (TEXT.start, VISUAL.start, VISUAL.start + 1, HIDDEN.start, HIDDEN.start + 1)
"""The dimensions of an item's latents that its sound tells of."""


def make_sound(rng: np.random.Generator, parts: NDArray[np.float32]) -> bytes | None:
    """A WAV file of 16-bit mono samples, or None for an item without a sound.

    Args:
        rng: decides whether there is one, and what does not depend on the item.
        parts: float32 [8], all of the item's latents.
    """
    if rng.random() < MISSING:
        return None
    telling = parts[list(CARRIED)].astype(np.float64) + rng.normal(0.0, BLUR, len(CARRIED))
    height, brightness, breath, tempo, decay = ndtr(telling)
    time = np.arange(round(RATE * SECONDS)) / RATE
    pitch = _LOWEST * 2.0 ** (_OCTAVES * height)
    loudness = _OVERTONES ** -(3.0 - 2.5 * brightness)
    phase = rng.uniform(0.0, 2.0 * np.pi, len(_OVERTONES))
    note = (loudness[:, None] * np.sin(2.0 * np.pi * pitch * _OVERTONES[:, None] * time + phase[:, None])).sum(axis=0)
    # Strokes a half second; where in the sound the first one falls says nothing.
    since = (time / SECONDS * (_SLOWEST + _FASTER * tempo) + rng.random()) % 1.0
    struck = note / loudness.sum() * np.exp(-_LONGEST * _SHORTER**decay * since)
    hiss = _PUREST * _BREATHIER**breath * rng.normal(0.0, 1.0, len(time))
    return _as_file((struck + hiss) * rng.uniform(0.4, 0.7))


def _as_file(samples: NDArray[np.float64]) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(np.clip(samples, -1.0, 1.0) * (2**15 - 1)).astype("<i2").tobytes())
    return out.getvalue()
