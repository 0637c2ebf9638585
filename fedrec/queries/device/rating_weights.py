"""How much each event of a history counts in its user's part of the sums, by its rating."""

from __future__ import annotations

import numpy as np

from fedrec.config import RatingSettings
from fedrec.queries.device.encoder import Floats
from fedrec.users import UserBatch


def rating_weights(population: UserBatch, settings: RatingSettings) -> Floats | None:
    """Weights of the entries of ``histories.items``, float64 [n], from 2^-weight for the lowest rating to 1 for the
    highest, and 1 without a rating: ((1 + v) / 2)^weight, v from 0 to 1 by the rating.  None where all are 1.

    Weights are all that this changes: what encoders make of a weighted history is brought to the same length as one of
    equal weights, so that a user moves a sum by no more than its bound.
    """
    if settings.weight == 0 or population.rated is None:
        return None
    ratings = population.rated.of(population.histories)
    high = (np.clip(ratings, settings.lowest, settings.highest) - settings.lowest) / (
        settings.highest - settings.lowest
    )
    return np.asarray(((1.0 + np.nan_to_num(high, nan=1.0)) / 2.0) ** settings.weight)
