"""Which items are a round's negatives, and how likely each item was to be one of them.

``uniform``: every item as likely as any other.  ``popularity``: the likelier the more an item is used, from the noisy
private counts, which everybody may see.  The server sends the counts as whole weights and the pool that follows from
them; devices draw the pool again, in whole numbers, so that both sides find the same one on any machine.

Items are drawn without replacement by systematic sampling from a keyed random order (Madow, "On the theory of
systematic sampling, II", 1949): item i is in the pool with probability exactly ``min(1, c w_i)``, c such that these add
up to the size.  So a negative's term in a softmax, divided by that probability, sums in expectation to the sum over all
items (Horvitz and Thompson, 1952).  Subtracting the logarithm from the logit does just that: the correction of Bengio
and Senecal (2008) and Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations"
(RecSys 2019), section 3.  A positive is in its own softmax for certain, and the logarithm of 1 is 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError
from fedrec.randomness import key, prf_uint64

WEIGHTS: Final = "weights"
MOST_WEIGHT: Final = 10_000


def weights_of(counts: NDArray[np.floating], power: float) -> NDArray[np.int32]:
    """Whole weights 1 to `MOST_WEIGHT`: ``(count / largest count)^power``; no item has none, and so no chance.

    ``counts``: [catalogue], zero or above, with noise or without.  ``power``: 0 (all alike) to 1 (as the counts).
    """
    largest = float(counts.max(initial=0.0))
    share = np.asarray(counts, np.float64) / largest if largest > 0 else np.ones(len(counts))
    return (1 + np.rint((MOST_WEIGHT - 1) * share**power)).astype(np.int32)


def check_weights(weights: NDArray[np.generic], catalogue: int) -> None:
    """Raise ProtocolError for weights that `weights_of` could not have given."""
    fits = weights.dtype == np.int32 and weights.shape == (catalogue,)
    if not fits or int(weights.min()) < 1 or int(weights.max()) > MOST_WEIGHT:
        raise ProtocolError(
            f"a pool's weights are one whole number from 1 to {MOST_WEIGHT:,} for each item", value=weights.shape
        )


def uniform(seed: int, round_number: int, catalogue: int, size: int) -> NDArray[np.int32]:
    """``size`` different items drawn uniformly (all, if the catalogue is smaller), ascending. Public, not secret."""
    return np.sort(np.argsort(_drawn(seed, round_number, catalogue), kind="stable")[:size]).astype(np.int32)


def weighted(seed: int, round_number: int, weights: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """``size`` different items (all, if there are fewer), each in with the probability of `inclusion`; ascending."""
    certain = _certain(weights, size)
    order = np.argsort(_drawn(seed, round_number, len(weights)), kind="stable")
    order = order[~certain[order]]
    start = int.from_bytes(key(seed, "start among negatives", round_number)[:8], "little")
    chosen = order[systematic(weights[order].astype(np.int64), size - int(certain.sum()), start)]
    return np.sort(np.concatenate([np.flatnonzero(certain), chosen])).astype(np.int32)


def systematic(weights: NDArray[np.int64], size: int, start: int) -> NDArray[np.int64]:
    """Places of ``size`` of the weights, by equal steps over their running sum, from ``start`` modulo their total.

    Of the ``total`` possible starts, exactly ``size * weight`` choose a place; none is chosen twice as long as no
    weight is more than ``total / size``.
    """
    if size <= 0 or not len(weights):
        return np.zeros(0, np.int64)
    ends = np.cumsum(weights * size)
    total = int(weights.sum())
    return np.searchsorted(ends, start % total + total * np.arange(size, dtype=np.int64), side="right")


def inclusion(weights: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Each item's probability to be in a pool of ``size``, float64 [catalogue], above 0; they add up to the size."""
    certain = _certain(weights, size)
    rest = weights[~certain].astype(np.int64)
    found = np.ones(len(weights))
    if len(rest):
        found[~certain] = (size - int(certain.sum())) * rest / int(rest.sum())
    return found


def _certain(weights: NDArray[np.int32], size: int) -> NDArray[np.bool_]:
    """Which items are in every pool: those whose weight is the step of `systematic`, or beyond it."""
    found = np.zeros(len(weights), np.bool_)
    while True:
        left = size - int(found.sum())
        rest = int(weights[~found].sum(dtype=np.int64))
        more = ~found & (weights.astype(np.int64) * left >= rest)
        if not more.any():
            return found
        found |= more


def _drawn(seed: int, round_number: int, catalogue: int) -> NDArray[np.uint64]:
    places = np.arange(catalogue, dtype=np.uint64)
    return prf_uint64(key(seed, "pool of negatives", round_number), places, np.zeros_like(places))
