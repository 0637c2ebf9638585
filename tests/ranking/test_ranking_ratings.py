"""A predicted rating is the user's level and the item's bias, inside the range of ratings."""

from __future__ import annotations

import numpy as np
import pytest

from fedrec.ranking.ratings import RatingPredictor, means_of
from fedrec.users import Histories, RatedItems

RATED = RatedItems(Histories.of([[0, 1], [], [2]]), np.array([5.0, 3.0, 9.0], np.float32))
PREDICTOR = RatingPredictor(np.array([0.5, -0.5, 0.0, 2.0]), 1.0, 5.0)


def test_levels_are_means_without_what_items_are_rated_more() -> None:
    levels = PREDICTOR.levels(RATED)
    assert levels[[0, 2]] == pytest.approx([(4.5 + 3.5) / 2, 5.0]) and np.isnan(levels[1])
    means = means_of(RATED, 1.0, 5.0)
    assert means[[0, 2]] == pytest.approx([4.0, 5.0]) and np.isnan(means[1])


def test_predictions_are_inside_the_range() -> None:
    found = PREDICTOR.predict(np.array([4.0, 4.0, np.nan]), np.array([1, 3, 0]))
    assert found[:2] == pytest.approx([3.5, 5.0]) and np.isnan(found[2])
