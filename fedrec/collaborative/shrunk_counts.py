"""Noisy counts brought nearer to what they would be without their noise, by how counts of all items are spread.

Most items of a catalogue are used by few, and of these a count is mostly noise.  How large the noise is, is known, and
how the true counts are spread can be read off thousands of noisy ones: the spread that makes them likeliest (Kiefer and
Wolfowitz 1956; Jiang and Zhang 2009, "General maximum likelihood empirical Bayes estimation of normal means"), here on
a grid and by few steps of expectation maximisation, which leaves it smooth.  An item's estimate is its posterior mean:
zero or above, rising with what was seen, and as seen where noise is small beside it.  Post-processing of one noisy sum:
it costs no budget.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CERTAIN: Final = 8.0
"""A count of so many deviations of its noise stays as it was seen."""
# Of the grid, in deviations: as far as what is learned from reaches, and how fine.
_REACH: Final = 12.0
_STEP: Final = 0.25
_STEPS: Final = 50
_BIN: Final = 0.05


def shrunk_counts(noisy: Floats, deviation: float) -> Floats:
    """Posterior means [items], zero or above, of counts seen with Gaussian noise of ``deviation`` in each.

    Without noise they are returned as they are, but none below zero.  Time and memory grow as items.
    """
    seen = np.maximum(noisy, 0.0)
    if deviation <= 0 or not len(noisy):
        return seen
    bins = np.round(np.clip(noisy / deviation, -_REACH, None) / _BIN).astype(np.int64)
    values, place, counts = np.unique(bins[bins * _BIN <= _REACH], return_inverse=True, return_counts=True)
    if not len(values):
        return seen
    grid = np.arange(0.0, _REACH + 1.0, _STEP)
    likelihood = np.exp(-0.5 * (values[:, None] * _BIN - grid) ** 2) + 1e-300
    spread = np.full(len(grid), 1.0 / len(grid))
    for _ in range(_STEPS):
        share = likelihood * spread
        share /= share.sum(axis=1, keepdims=True)
        spread = counts @ share / counts.sum()
    share = likelihood * spread
    means = share @ grid / share.sum(axis=1)
    near = np.flatnonzero(bins * _BIN <= _REACH)
    sure = noisy[near] >= CERTAIN * deviation
    seen[near[~sure]] = means[place[~sure]] * deviation
    return seen
