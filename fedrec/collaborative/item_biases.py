"""How much better or worse than usual items are rated, from two noisy sums: empirical Bayes with known noise."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DEVIATIONS: Final = 2.0
_TURNS: Final = 8
# T and K where ratings are in halves of their range: items differ by .15, single ratings by .3, whose users rated 80.
_USUAL: Final = (0.0225, 0.01)
_ITEMS: Final = 4
_LEAST: Final = 1e-9


def item_biases(deviations: Floats, counts: Floats, noise: float) -> Floats:
    """The expected bias of each item, given its sums.

    Of an item with bias b, drawn with variance T from around 0, whose raters' weights add up to C, the weighted
    deviations add up to C b, and more by chance: by a variance K C, K being what single ratings vary by, and by
    ``noise``^2.  T and K follow from all items together, by least squares on E[S^2] = T C^2 + K C + noise^2.  The best
    linear estimate of b is then T C S / (T C^2 + K C + noise^2) (Efron and Morris 1973, section 2), which is 0 for an
    item that is not known to be rated.  It uses noisy sums only, so it costs no privacy.

    Args:
        deviations: [items], sums of weight times deviation, with noise.
        counts: [items], sums of weights, with noise of the same size.
        noise: standard deviation of the noise in each.

    Returns:
        float64 [items].
    """
    spread, single = _variances(deviations, counts, noise)
    held = np.maximum(counts, 0.0)
    expected = spread * held**2 + single * held + noise**2
    known = expected > 0
    return np.where(known, spread * held * deviations / np.where(known, expected, 1.0), 0.0)


def _variances(deviations: Floats, counts: Floats, noise: float) -> tuple[float, float]:
    """T and K, above 0: by the items that are known to be rated, and by what is usual, which counts as few items."""
    from scipy.optimize import nnls  # with all optimisers: where ratings are asked for

    # Below this, a count is noise as likely as not, and says nothing of T or K.
    known = counts > _DEVIATIONS * noise
    count = counts[known]
    # Squares of what has noise are too large by the noise's variance.
    columns = np.stack([count**2 - noise**2, count], axis=1)
    wanted = deviations[known] ** 2 - noise**2
    usual = math.sqrt(_ITEMS) * np.diag(1.0 / np.array(_USUAL))
    spread, single = _USUAL
    for _ in range(_TURNS):
        # A square varies by its mean: items of large sums would decide alone.
        scale = 1.0 / (spread * count**2 + single * count + noise**2)
        rows = np.concatenate([columns * scale[:, None], usual])
        (spread, single), _ = nnls(rows, np.concatenate([wanted * scale, usual @ _USUAL]))
        spread, single = max(spread, _LEAST), max(single, _LEAST)
    return float(spread), float(single)
