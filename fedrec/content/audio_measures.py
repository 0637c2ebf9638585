"""What is measured on a waveform: its spectrum on the mel scale, MFCC and chroma. All in torch.

No sound is resampled: windows are measured in seconds and filters in hertz, so that files of any rate compare.
Everything is relative to the sound's own loudest band, so that how loud it was recorded does not matter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from fedrec.content.audio_decode import Waveform

WINDOW, HOP = 0.032, 0.016
"""Seconds."""
LONG = 4
"""Chroma looks through windows so many times as long: pitches lie closer together than timbre does."""
QUIETEST = -80.0
"""Decibels below the loudest band; what is quieter counts as this."""
COEFFICIENTS = 13
PITCHES = 12
LOWEST = 55.0
"""Hertz. Below, a window holds too few periods to tell one pitch from the next."""
_CONCERT_PITCH = 440.0


def log_mel(sound: Waveform, bands: int, highest: float) -> Tensor:
    """Decibels float32 [bands, frames] from `QUIETEST` to 0; triangular filters, evenly spaced in mel up to
    ``highest`` hertz (Davis and Mermelstein 1980, section II)."""
    power = _mel_filters(_length(WINDOW, sound.rate), sound.rate, bands, highest) @ _power(sound, WINDOW)
    decibels: Tensor = 10.0 * torch.log10(power.clamp(min=1e-20))
    return (decibels - decibels.max()).clamp(min=QUIETEST)


def mfcc(decibels: Tensor) -> Tensor:
    """The first `COEFFICIENTS` of the cosine transform of `log_mel` over its bands: [COEFFICIENTS, frames]."""
    return _cosines(decibels.shape[0]) @ decibels


def chroma(sound: Waveform, highest: float) -> Tensor:
    """How much of each frame's power is in each of the 12 pitch classes, from C on: [12, frames] (Fujishima 1999).

    Octaves fall together, and a frequency between two semitones counts for both. A silent frame is all zeros.
    """
    folded = _pitch_filters(_length(LONG * WINDOW, sound.rate), sound.rate, highest) @ _power(sound, LONG * WINDOW)
    total = folded.sum(0, keepdim=True)
    return torch.where(total > 1e-12, folded / total.clamp(min=1e-12), torch.zeros_like(folded))


def _power(sound: Waveform, window: float) -> Tensor:
    """Power spectrum [bins, frames] through Hann windows of so many seconds, one each `HOP`."""
    size = max(2, round(window * sound.rate))
    spectrum = torch.stft(
        torch.from_numpy(sound.samples),
        n_fft=_length(window, sound.rate),
        hop_length=max(1, round(HOP * sound.rate)),
        win_length=size,
        window=torch.hann_window(size),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    return spectrum.abs().square()


def _length(window: float, rate: int) -> int:
    """Of the transform: twice the window's next power of two, so that even the narrowest filter meets a bin."""
    return 2 << (max(2, round(window * rate)) - 1).bit_length()


def _mel(hertz: Any) -> Any:
    return 2595.0 * torch.log10(1.0 + torch.as_tensor(hertz, dtype=torch.float64) / 700.0)


def _hertz(length: int, rate: int) -> Tensor:
    return torch.arange(length // 2 + 1, dtype=torch.float64) * (rate / length)


@lru_cache(maxsize=16)
def _mel_filters(length: int, rate: int, bands: int, highest: float) -> Tensor:
    edges = torch.linspace(0.0, float(_mel(highest)), bands + 2, dtype=torch.float64)
    at = _mel(_hertz(length, rate)).unsqueeze(0)
    low, centre, high = (edges[i : i + bands].unsqueeze(1) for i in range(3))
    weights: Tensor = torch.minimum((at - low) / (centre - low), (high - at) / (high - centre)).clamp(min=0.0)
    return weights.to(torch.float32)


@lru_cache(maxsize=16)
def _pitch_filters(length: int, rate: int, highest: float) -> Tensor:
    hertz = _hertz(length, rate)
    heard = (hertz >= LOWEST) & (hertz <= highest)
    # A is the tenth semitone of an octave that begins with C.
    semitone = 12.0 * torch.log2(hertz.clamp(min=LOWEST) / _CONCERT_PITCH) + 9.0
    apart = (semitone.unsqueeze(0) - torch.arange(PITCHES).unsqueeze(1)).remainder(PITCHES)
    weights = (1.0 - torch.minimum(apart, PITCHES - apart)).clamp(min=0.0) * heard
    return weights.to(torch.float32)


@lru_cache(maxsize=16)
def _cosines(bands: int) -> Tensor:
    """The orthonormal DCT-II [COEFFICIENTS, bands]; with fewer bands, their number of coefficients."""
    k = torch.arange(min(COEFFICIENTS, bands), dtype=torch.float64).unsqueeze(1)
    n = torch.arange(bands, dtype=torch.float64).unsqueeze(0)
    table = torch.cos(math.pi / bands * (n + 0.5) * k) * math.sqrt(2.0 / bands)
    table[0] /= math.sqrt(2.0)
    return table.to(torch.float32)
