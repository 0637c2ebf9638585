"""The device's half of query ``popularity``."""

from __future__ import annotations

import numpy as np

from fedrec.collaborative.hashed_counts import hashed
from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.device.rating_weights import rating_weights
from fedrec.queries.request import Request
from fedrec.users import UserBatch


class PopularityEncoder(QueryEncoder):
    """Counts what was used."""

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """See `used_items`; in hash tables where the settings have any, see `fedrec.collaborative.hashed_counts`."""
        settings = self.config.collaborative
        weights = rating_weights(population, settings.ratings)
        bound, weighting = request.sum.bound, settings.short_history_weighting
        if settings.popularity_buckets:
            histories = population.histories
            values = parts_of(population, bound, weighting, weights)
            return hashed(histories.items, histories.owners, values, settings.popularity_buckets, bound=bound)
        return used_items(population, len(self.features), bound, weighting, weights)


def used_items(
    population: UserBatch,
    catalogue: int,
    bound: float,
    short_history_weighting: int = 0,
    by_rating: Floats | None = None,
) -> Floats:
    """Sum over users of x / sqrt(max(|x|, weighting)), of norm 1 at most, clipped to ``bound``; float64 [catalogue].

    ``by_rating``: above 0 and at most 1, one an entry of the histories (`rating_weights`).  Then x holds these in place
    of ones, and |x| is the sum of their squares: the norm is 1 at most as before.
    """
    values = parts_of(population, bound, short_history_weighting, by_rating)
    # Of an empty population numpy would make whole numbers, whatever the type of the weights.
    return np.bincount(population.histories.items, weights=values, minlength=catalogue).astype(np.float64)


def parts_of(
    population: UserBatch, bound: float, short_history_weighting: int = 0, by_rating: Floats | None = None
) -> Floats:
    """What each entry of the histories adds to its item in `used_items`; float64 [entries]."""
    owners, counts = population.histories.owners, population.histories.lengths
    if by_rating is not None:
        counts = np.bincount(owners, weights=by_rating**2, minlength=len(population))
        least = short_history_weighting or np.finfo(np.float64).tiny
        return np.asarray(min(1.0, bound) * by_rating / np.sqrt(np.maximum(counts, least))[owners])
    return np.asarray(min(1.0, bound) / np.sqrt(np.maximum(counts, max(short_history_weighting, 1)))[owners])
