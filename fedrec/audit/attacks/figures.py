"""Figures of attacks with their confidence intervals: area under the ROC curve, rates, means over victims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from scipy.stats import t as student

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


def two_way_interval(values: NDArray[np.floating], rng: np.random.Generator) -> Interval:
    """The mean over [looks, victims], where all victims of one look (one noisy sum, one model) share what was seen.

    The bootstrap draws looks and victims apart from each other (Owen 2007, "The Pigeonhole Bootstrap", section 3, which
    errs to the wide side); its standard error is widened by Student's t for few looks.  NaN where there is no figure.

    Raises:
        ValueError: fewer than 2 looks or victims, which tell nothing about others.
    """
    looks, victims = values.shape
    if min(looks, victims) < 2:
        raise ValueError(f"an interval needs 2 looks and 2 victims, not {looks} and {victims}")
    there = np.isfinite(values)
    if not there.any():
        return Interval(math.nan, math.nan, math.nan)
    known = np.where(there, values, 0.0)
    often_look = rng.multinomial(looks, np.full(looks, 1 / looks), _RESAMPLES)
    often_victim = rng.multinomial(victims, np.full(victims, 1 / victims), _RESAMPLES)
    totals, counts = (((often_look @ part) * often_victim).sum(1) for part in (known, there.astype(np.float64)))
    mean, few = float(known.sum() / there.sum()), min(looks, victims)
    error = float(np.std(totals[counts > 0] / counts[counts > 0])) * math.sqrt(few / (few - 1))
    half = float(student.ppf(0.975, few - 1)) * error
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


def auc_interval(
    scores: NDArray[np.floating],
    labels: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    resamples: int = 300,
    both: bool = False,
) -> Interval:
    """The pooled AUC over [trials, victims] or [victims]; the bootstrap draws victims, each with all its trials.

    ``both``: it draws the trials as well, where all victims of one trial share what was seen.
    """
    scores, labels = np.atleast_2d(scores), np.atleast_2d(labels)
    trials, victims = scores.shape
    found = []
    for _ in range(resamples):
        looks = rng.integers(0, trials, trials) if both else np.arange(trials)
        drawn = np.ix_(looks, rng.integers(0, victims, victims))
        found.append(auc(scores[drawn].ravel(), labels[drawn].ravel()))
    low, high = np.nanquantile(found, [0.025, 0.975])
    return Interval(auc(scores.ravel(), labels.ravel()), float(low), float(high))


def across_folds(found: Interval, folds: int) -> Interval:
    """An interval over cross-validated scores, widened for what the folds share: most of what they were trained on.

    By sqrt(1 + folds / (folds - 1)), the correction of Nadeau and Bengio 2003, "Inference for the Generalization
    Error", section 3.  A bootstrap of the scores takes the classifiers as given, and covers too seldom without it.
    """
    factor = math.sqrt(1 + folds / (folds - 1))
    low, high = (found.value + factor * (end - found.value) for end in (found.low, found.high))
    return Interval(found.value, max(0.0, low), min(1.0, high))


def wilson(successes: int, trials: int) -> Interval:
    """A rate with Wilson's score interval (Wilson 1927), which is right for rates near 0 and 1 as well."""
    rate, square = successes / trials, _Z**2
    centre = (rate + square / (2 * trials)) / (1 + square / trials)
    half = _Z / (1 + square / trials) * math.sqrt(rate * (1 - rate) / trials + square / (4 * trials**2))
    # At rates of 0 and 1 an end is the rate itself, which rounding must not move past it.
    return Interval(rate, max(0.0, min(rate, centre - half)), min(1.0, max(rate, centre + half)))
