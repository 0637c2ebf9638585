"""The device's half of query ``popularity``."""

from __future__ import annotations

import numpy as np

from fedrec.queries.device.encoder import Floats, QueryEncoder
from fedrec.queries.request import Request
from fedrec.users import UserBatch


class PopularityEncoder(QueryEncoder):
    """Counts what was used."""

    def encode(self, request: Request, population: UserBatch) -> Floats:
        """See `used_items`."""
        weighting = self.config.collaborative.short_history_weighting
        return used_items(population, len(self.features), request.sum.bound, weighting)


def used_items(population: UserBatch, catalogue: int, bound: float, short_history_weighting: int = 0) -> Floats:
    """Sum over users of x / sqrt(max(|x|, weighting)), of norm 1 at most, clipped to ``bound``; float64 [catalogue]."""
    owners, counts = population.histories.owners, population.histories.lengths
    weights = min(1.0, bound) / np.sqrt(np.maximum(counts, max(short_history_weighting, 1)))[owners]
    # Of an empty population numpy would make whole numbers, whatever the type of the weights.
    return np.bincount(population.histories.items, weights=weights, minlength=catalogue).astype(np.float64)
