"""Figures of attacks with their confidence intervals: area under the ROC curve, rates, means over victims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

_RESAMPLES = 1000
_Z = 1.959964


@dataclass(frozen=True)
class Interval:
    """A figure and its 95% confidence interval."""

    value: float
    low: float
    high: float


def auc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """The chance that a positive scores above a negative, ties counting half; NaN where one of them is missing."""
    yes = int(labels.sum())
    no = len(labels) - yes
    if not yes or not no:
        return math.nan
    ranks = rankdata(scores)
    return float((ranks[labels].sum() - yes * (yes + 1) / 2) / (yes * no))


def mean_interval(values: Sequence[float] | NDArray[np.floating], rng: np.random.Generator) -> Interval:
    """The mean over victims, and what it would have been over other victims (bootstrap); NaN without any."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan)
    drawn = known[rng.integers(0, len(known), (_RESAMPLES, len(known)))].mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(known.mean()), float(low), float(high))


def auc_interval(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], rng: np.random.Generator, *, resamples: int = 300
) -> Interval:
    """The pooled AUC over [trials, victims] or [victims]; the bootstrap draws victims, each with all its trials."""
    scores, labels = np.atleast_2d(scores), np.atleast_2d(labels)
    victims = scores.shape[1]
    found = []
    for _ in range(resamples):
        drawn = rng.integers(0, victims, victims)
        found.append(auc(scores[:, drawn].ravel(), labels[:, drawn].ravel()))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(auc(scores.ravel(), labels.ravel()), float(low), float(high))


def wilson(successes: int, trials: int) -> Interval:
    """A rate with Wilson's score interval (Wilson 1927), which is right for rates near 0 and 1 as well."""
    rate, square = successes / trials, _Z**2
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = _Z / (1 + square / trials) * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2))
    # At rates of 0 and 1 an end is the rate itself, which rounding must not move past it.
    return Interval(rate, max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half)))
