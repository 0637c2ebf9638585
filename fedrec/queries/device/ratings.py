"""The device's half of query ``ratings``."""

from __future__ import annotations

import math

import numpy as np

from fedrec.config import RatingSettings
from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.request import Request
from fedrec.users import RatedItems, UserBatch


class RatingsEncoder(QueryEncoder):
    """Tells how items were rated beside their user's mean."""

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """See `rated_apart`; zeros where nobody knows ratings."""
        rated, items = population.rated, len(self.features)
        if rated is None:
            return np.zeros(2 * items)
        return rated_apart(rated, items, self.config.collaborative.ratings)


def rated_apart(rated: RatedItems, catalogue: int, settings: RatingSettings) -> Floats:
    """Sum over users of (t, 1) / sqrt(2 n) at the n items that each rated; float64 [2 * catalogue], all t first.

    t: the rating, held inside the range of ratings, less the mean of the user's, in halves of the range, within
    [-1, 1].  Each user's part is of L2 norm 1 at most.
    """
    owners, counts = rated.items.owners, np.maximum(rated.items.lengths, 1)
    values = np.clip(rated.values.astype(np.float64), settings.lowest, settings.highest)
    means = np.bincount(owners, weights=values, minlength=len(rated)) / counts
    half = (settings.highest - settings.lowest) / 2
    told = np.clip((values - means[owners]) / half, -1.0, 1.0)
    weights = math.sqrt(0.5) / np.sqrt(counts)[owners]
    sums = [np.bincount(rated.items.items, weights=one, minlength=catalogue) for one in (told * weights, weights)]
    return np.concatenate(sums).astype(np.float64)
