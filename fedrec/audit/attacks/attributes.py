"""Attribute inference: what does a user's update, or a series of sums that the user was in, tell about the user?

Melis et al. 2019, "Exploiting Unintended Feature Leakage in Collaborative Learning": a classifier over updates, trained
on users whose attribute the adversary knows.  Where only sums over known cohorts can be seen, updates are estimated
first: Lam et al. 2021, "Gradient Disaggregation", section 3 (here by ridge regression, since updates change little
between rounds).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit


def disaggregate(
    participation: NDArray[np.floating], sums: NDArray[np.floating], *, ridge: float = 1.0
) -> NDArray[np.float64]:
    """Estimate each user's mean update from sums over known cohorts.

    Args:
        participation: [rounds, users], 1 where the user was in the round's sum.
        sums: [rounds, P], opened, with their noise.
        ridge: variance of what varies from round to round, relative to that between users; above 0.

    Returns:
        [users, P].  Users who always took part together are told apart by nothing, and get the same row.
    """
    mixed = participation - participation.mean(0)
    kernel = mixed @ mixed.T + ridge * np.eye(len(mixed))
    return np.asarray(mixed.T @ np.linalg.solve(kernel, sums - sums.mean(0)))


def principal(features: NDArray[np.floating], most: int) -> NDArray[np.float64]:
    """The leading principal components [rows, up to most], each divided by the root of its spread; the first
    has variance 1.  Directions without any spread go."""
    centred = features - features.mean(0)
    left, spread, _ = np.linalg.svd(centred, full_matrices=False)
    kept = spread > 1e-9 * max(1.0, float(np.abs(features).max(initial=0.0))) * len(features) ** 0.5
    scale = np.sqrt(len(features) * spread[kept] / spread.max(initial=1e-300))
    return np.asarray((left[:, kept] * scale)[:, :most])


def cross_validated(
    features: NDArray[np.floating],
    labels: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    folds: int = 5,
    ridge: float = 10.0,
) -> NDArray[np.float64]:
    """For each row the log-odds of its label by a logistic regression that was fitted without it.

    Args:
        features: [rows, width]; width 0 gives every row of a fold the same score.
        labels: [rows].
        rng: deals rows into folds.
        folds: from 2.
        ridge: half of it is what a squared weight costs, beside the summed log-loss.

    Returns:
        [rows], each fold's scores relative to its mean, so that folds can be pooled.
    """
    scores = np.zeros(len(labels))
    fold = rng.permutation(np.arange(len(labels)) % folds)
    for number in range(folds):
        held = fold == number
        weights = _logistic(features[~held], labels[~held], ridge)
        found = features[held] @ weights
        scores[held] = found - found.mean()
    return scores


def _logistic(features: NDArray[np.floating], labels: NDArray[np.bool_], ridge: float) -> NDArray[np.float64]:
    """Weights [width] of a ridge-penalised logistic regression with an intercept, which is not returned."""
    width = features.shape[1]
    if width == 0:
        return np.zeros(0)
    signs = np.where(labels, 1.0, -1.0)
    inputs = np.concatenate([features, np.ones((len(features), 1))], 1)
    price = np.append(np.full(width, ridge), 0.0)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margins = signs * (inputs @ weights)
        value = np.logaddexp(0, -margins).sum() + 0.5 * (price * weights**2).sum()
        return float(value), -inputs.T @ (signs * expit(-margins)) + price * weights

    found = minimize(loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x[:-1])
