"""The time of day of events, as a user tower can read it: sine and cosine of the hour, so that 23:59 is near 0:01."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

UNKNOWN: Final = -1
# Sine and cosine for the request, or what is learned, and for the history.
WIDTH: Final = 4
_DAY: Final = 86_400


def clock(seconds: NDArray[np.int64]) -> NDArray[np.float32]:
    """Sine and cosine of the time of day of seconds since 1970, UTC: float32 [..., 2]; zeros where `UNKNOWN`."""
    angle = (seconds % _DAY) * (2 * np.pi / _DAY)
    return np.asarray(np.stack([np.sin(angle), np.cos(angle)], -1) * (seconds >= 0)[..., None], np.float32)


def mean_clock(seconds: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean of `clock` over the known ones among [rows, n] where ``mask``: float32 [rows, 2]; zeros where none is known.

    Its length says how alike the hours are: 1 for one and the same, 0 for any time of the day.
    """
    known = mask & (seconds >= 0)
    total = (clock(seconds) * known[..., None]).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1)[:, None], np.float32)
