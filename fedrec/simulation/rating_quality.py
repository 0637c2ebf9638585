"""How well ratings are predicted, as the simulator sees it: exact, and outside of epsilon like all that it measures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config, RatingSettings
from fedrec.data.schema import Dataset
from fedrec.ranking.ratings import RatingPredictor, means_of
from fedrec.simulation.study import Study


def rating_quality(config: Config, study: Study, collaborative: CollaborativeFactors) -> dict[str, Any] | None:
    """RMSE and Pearson correlation of predicted ratings of held-out items; None where a run predicts none.

    Of users who rated the held-out item and something in training.  ``baseline_rmse``: of predicting each user's own
    mean.  Ratings are held inside the range of ``collaborative.ratings``; a figure is None where nobody can be
    measured, the correlation too where all predictions or all ratings are alike.
    """
    rated = study.population.rated
    if collaborative.ratings is None or rated is None:
        return None
    settings = config.collaborative.ratings
    target = study.held_out.target
    truth = held_out_ratings(study.dataset, target, settings)
    predictor = RatingPredictor(collaborative.ratings, settings.lowest, settings.highest)
    levels = predictor.levels(rated)
    measured = np.flatnonzero(~np.isnan(truth) & ~np.isnan(levels))
    if not len(measured):
        return {"rmse": None, "pearson": None, "baseline_rmse": None, "users": 0}
    wanted, found = truth[measured], predictor.predict(levels[measured], target[measured])
    own = means_of(rated, settings.lowest, settings.highest)[measured]
    return {
        "rmse": _rmse(found, wanted),
        "pearson": _pearson(found, wanted),
        "baseline_rmse": _rmse(own, wanted),
        "users": len(measured),
    }


def held_out_ratings(dataset: Dataset, target: NDArray[np.int32], settings: RatingSettings) -> NDArray[np.float64]:
    """How each user rated the held-out item [users] (-1 = none): float64 [users], NaN where nobody knows."""
    table, items = dataset.interactions, max(len(dataset.items), 1)
    rows = np.flatnonzero(~np.isnan(table.rating))
    pairs, first = np.unique(table.user[rows].astype(np.int64) * items + table.item[rows], return_index=True)
    wanted = np.arange(len(target)) * items + target
    at = np.minimum(np.searchsorted(pairs, wanted), len(pairs) - 1) if len(pairs) else np.zeros(len(target), np.int64)
    known = (target >= 0) & (pairs[at] == wanted) if len(pairs) else np.zeros(len(target), np.bool_)
    found = np.full(len(target), np.nan)
    ratings = table.rating[rows[first[at[known]]]].astype(np.float64)
    found[known] = np.clip(ratings, settings.lowest, settings.highest)
    return found


def _rmse(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean((found - wanted) ** 2)))


def _pearson(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> float | None:
    if np.ptp(found) == 0 or np.ptp(wanted) == 0:
        return None
    return float(np.corrcoef(found, wanted)[0, 1])
