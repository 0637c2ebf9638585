"""Scores of any size brought to one scale, so that weights mean the same for every user and model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats32 = NDArray[np.float32]


def standardised(scores: Floats32) -> Floats32:
    """Each row of [users, items] brought to mean 0 and standard deviation 1.

    A row whose spread is 0, or so small beside its values that it is only rounding, becomes all 0.
    """
    if scores.shape[1] == 0:
        return scores
    centred = scores - scores.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    # In float64: squares of small float32 numbers lose their digits below 1e-38, and so does what brings them to 1.
    spread = np.sqrt(np.mean(np.square(centred, dtype=np.float64), axis=1, keepdims=True))
    flat = spread <= np.maximum(1e-6 * np.abs(scores).max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    scale = np.where(flat, 0.0, 1.0 / np.where(flat, 1.0, spread))
    return np.asarray(centred * scale, dtype=np.float32)


def log_popularity(popularity: Floats32) -> Floats32:
    """log(share of the mean + 0.1) per item: independent of the unit of the estimates, and steady where noise left a
    rare item at 0. All zeros stay zeros."""
    mean = float(popularity.mean(dtype=np.float64)) if len(popularity) else 0.0
    if mean == 0.0:
        return np.zeros_like(popularity)
    return np.asarray(np.log(popularity / np.float32(mean) + np.float32(0.1)))
