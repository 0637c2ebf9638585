"""Model-level membership inference: was this user's data in the training of this model?

Carlini et al. 2022, "Membership Inference Attacks From First Principles" (LiRA, section 4, online, with variances
shared among users because reference models are few), and Zarifzadeh et al. 2024, "Low-Cost High-Power Membership
Inference Attacks" (RMIA, section 3), both over several signals a model and user instead of one loss.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHRINK = 0.1


def standardised_signals(
    signals: NDArray[np.float64], members: NDArray[np.bool_], references: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Signals relative to what models without the user show: zero mean a user, and a spread shared among users.

    Args:
        signals: [models, users, kinds].
        members: [models, users], whether the user was in that model's training.
        references: [models], the models that may be looked at for calibration.

    Returns:
        As ``signals``.  A user who was in all references, or in none, is compared with all of them.
    """
    out = (~members & references[:, None])[..., None].astype(np.float64)
    out = np.where(out.sum(0, keepdims=True) > 0, out, references[:, None, None].astype(np.float64))
    mean = (signals * out).sum(0) / out.sum(0)
    apart = (signals - mean) * out
    spread = np.sqrt((apart**2).sum((0, 1)) / np.maximum(out.sum((0, 1)) - out.shape[1], 1))
    return np.asarray((signals - mean) / np.maximum(spread, 1e-12))


def lira(signals: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Log-likelihood ratios of membership, each model in turn the target and the others its references.

    Members and others are Gaussian with one covariance; their means are estimated over all users of the references.

    Args:
        signals: [models, users, kinds], at least 3 models; larger or smaller for members, either way.
        members: [models, users], random halves.

    Returns:
        [models, users], higher = rather a member.
    """
    models = len(signals)
    scores = np.zeros(members.shape)
    for target in range(models):
        references = np.arange(models) != target
        seen = standardised_signals(signals, members, references)
        known, inside = seen[references], members[references]
        shift = known[inside].mean(0) - known[~inside].mean(0)
        apart = np.concatenate([known[inside] - known[inside].mean(0), known[~inside] - known[~inside].mean(0)])
        covariance = np.atleast_2d(np.cov(apart.T))
        covariance += _SHRINK * np.diag(np.diag(covariance)) + 1e-12 * np.eye(len(covariance))
        scores[target] = seen[target] @ np.linalg.solve(covariance, shift)
    return scores


def rmia(logs: NDArray[np.float64], members: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of non-members that a user beats: P(ratio of the user > ratio of z), ratio = Pr(x | target) / Pr(x).

    Args:
        logs: [models, users], the log-probability of a user's data under each model.
        members: [models, users]; the users who are no members of the target stand in for the population z (nobody
            beats oneself, so it does no harm that the one who is scored may be among them).

    Returns:
        [models, users] in [0, 1], higher = rather a member.
    """
    models = len(logs)
    scores = np.zeros(members.shape)
    for target in range(models):
        others = np.arange(models) != target
        ratio = logs[target] - np.logaddexp.reduce(logs[others], 0)
        against = np.sort(ratio[~members[target]])
        scores[target] = np.searchsorted(against, ratio, "left") / max(1, len(against))
    return scores
