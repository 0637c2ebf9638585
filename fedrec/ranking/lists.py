"""What recommended lists are like, beyond being right: how much of the catalogue, how varied, how unusual.

A list is a row of item places, best first, padded with -1 where a user has fewer items left than were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

Floats = NDArray[np.float64]
_USERS = 1_024


def coverage(top: NDArray[np.integer], items: int) -> float:
    """Part of the catalogue that appears in at least one list, 0 to 1. ``top``: [users, k] places or -1."""
    if items < 1:
        raise ModelError("coverage needs a catalogue of one item at least", value=items)
    seen = np.unique(top)
    return float(np.count_nonzero(seen >= 0) / items)


def diversity(top: NDArray[np.integer], vectors: NDArray[np.floating]) -> Floats:
    """Intra-list diversity per user, 0 to 2: 1 - mean cosine over the pairs of items in the list.

    Items whose vector is zero (no content known) are left out, since their cosine is not defined; a list with fewer
    than two items left gets NaN. ``vectors``: [items, width].
    """
    # Of a large catalogue few items are in any list, and all lists together may be long.
    listed, places = np.unique(top, return_inverse=True)
    told = vectors[np.maximum(listed, 0)].astype(np.float64) if len(vectors) else np.zeros((len(listed), 0))
    length = np.where(listed >= 0, np.linalg.norm(told, axis=1), 0.0)
    known = length > 0
    unit = told / np.where(known, length, 1.0)[:, None] * known[:, None]
    places = places.reshape(top.shape)
    count = known[places].sum(axis=1)
    # The sum over pairs follows from the length of the sum of unit vectors: |sum|^2 = count + 2 * sum of cosines.
    squared = np.zeros(len(top))
    for place in range(0, len(top), _USERS):
        squared[place : place + _USERS] = np.square(unit[places[place : place + _USERS]].sum(axis=1)).sum(axis=1)
    pairs = (squared - count) / 2.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - np.where(count > 1, pairs / (count * (count - 1) / 2.0), np.nan))


def novelty(top: NDArray[np.integer], popularity: NDArray[np.floating]) -> Floats:
    """Mean self-information of a list's items in bits per user: -log2 of the share of all interactions.

    Items that nobody touched count as if they had a tenth of the smallest share seen, so that the figure stays finite.
    NaN for an empty list. ``popularity``: [items], zero or above, with a sum above zero.
    """
    total = float(popularity.sum())
    if not total > 0 or np.any(popularity < 0):
        raise ModelError("novelty needs popularity counts: none below zero, and not all zero", value=total)
    share = popularity.astype(np.float64) / total
    bits = -np.log2(np.where(share > 0, share, share[share > 0].min() / 10.0))
    mask = top >= 0
    count = mask.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.sum(bits[top] * mask, axis=1) / np.where(count > 0, count, np.nan))


def content_vectors(
    values: Mapping[str, NDArray[np.generic]], present: Mapping[str, NDArray[np.bool_]]
) -> NDArray[np.float32] | None:
    """One vector per item for `diversity`, from the features alone: the same for every model that is compared on them.

    Each modality's vector is brought to length 1 and set beside the others; a missing one is zero. Token ids and pixels
    are no vectors to take a cosine of and are passed over. None where nothing is left.
    """
    parts = []
    for name in sorted(values):
        feature = values[name]
        if feature.ndim != 2 or not np.issubdtype(feature.dtype, np.floating):
            continue
        vector = np.where(present[name][:, None], feature, 0).astype(np.float32)
        length = np.linalg.norm(vector, axis=1, keepdims=True)
        parts.append(vector / np.where(length > 0, length, 1.0))
    return np.concatenate(parts, axis=1) if parts else None
