"""Predicted ratings: a level of the user's own, which stays on the device, and how items differ, from a private sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrec.users import RatedItems

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RatingPredictor:
    """A rating is predicted as the user's level and the item's bias, held inside the range of ratings.

    Args:
        biases: [items], how much higher than its user's mean each item is expected to be rated; see
            `fedrec.queries.ratings`.
        lowest, highest: the range, ``collaborative.ratings``.
    """

    biases: NDArray[np.floating]
    lowest: float
    highest: float

    def levels(self, rated: RatedItems) -> Floats:
        """What each user gives an item without a bias: the mean of the user's ratings less their items' biases.

        float64 [users], NaN where a user rated nothing.
        """
        given = np.clip(rated.values.astype(np.float64), self.lowest, self.highest)
        apart = given - self.biases.astype(np.float64)[rated.items.items]
        return _means(rated, apart)

    def predict(self, levels: Floats, items: NDArray[np.integer]) -> Floats:
        """The rating of each of ``items`` [n] by a user of ``levels`` [n]; float64 [n], NaN where the level is."""
        return np.asarray(
            np.clip(levels + self.biases.astype(np.float64)[items], self.lowest, self.highest), dtype=np.float64
        )


def means_of(rated: RatedItems, lowest: float, highest: float) -> Floats:
    """The mean of each user's ratings, held inside the range; float64 [users], NaN where a user rated nothing."""
    return _means(rated, np.clip(rated.values.astype(np.float64), lowest, highest))


def _means(rated: RatedItems, values: Floats) -> Floats:
    totals = np.bincount(rated.items.owners, weights=values, minlength=len(rated))
    counts = rated.items.lengths
    return np.asarray(np.where(counts > 0, totals / np.maximum(counts, 1), np.nan), dtype=np.float64)
