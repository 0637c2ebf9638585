"""What noisy means of candidates say of each other: candidates that share settings are alike in how well they rank.

The advantages of K candidates, centred, are taken as normal: t^2 (w S + (1 - w) I) is their covariance, S being the
share of settings that two candidates have in common (main effects of the settings), and I what is a candidate's own.
Noise of known deviation s comes on top.  t and w are those with the largest likelihood, empirical Bayes (Efron and
Morris 1973, "Stein's estimation rule and its competitors", section 1), and what is returned is the posterior (Rasmussen
and Williams 2006, section 2.2).  Where noise is small it changes nothing; where it is large, sixteen noisy numbers
become a few settings' effects.  Post-processing of one noisy sum: it costs no budget.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SHARED: Final = (0.0, 0.5, 0.9)
_NONE: Final = 1e-12
_SIGNALS: Final = np.geomspace(0.05, 1e4, 22)


def alike(candidates: Sequence[Mapping[str, Any]]) -> Floats:
    """Of the settings in which any two candidates differ, the share that each two have in common: [K, K], 0 to 1.

    ``candidates``: settings trees, all with the same sections; a section that is null in one of them is one setting.
    """
    rows = [dict(_settings(tree, _whole(candidates))) for tree in candidates]
    keys = [key for key in rows[0] if len({row[key] for row in rows}) > 1]
    if not keys:
        return np.ones((len(rows), len(rows)))
    return np.array([[np.mean([one[key] == other[key] for key in keys]) for other in rows] for one in rows])


def smoothed(advantages: Floats, sigma: float, similarity: Floats) -> tuple[Floats, Floats]:
    """Posterior mean [K] and covariance [K, K] of centred advantages.

    Args:
        advantages: [K], noisy.
        sigma: deviation of the noise in each; none to speak of = they are returned as they are, centred.
        similarity: [K, K], as `alike` gives it.
    """
    count = len(advantages)
    if sigma <= _NONE or count < 2:
        return advantages - advantages.mean(), np.zeros((count, count))
    basis = np.linalg.svd(np.eye(count) - 1.0 / count)[0][:, : count - 1]
    told, effects = basis.T @ advantages, basis.T @ similarity @ basis
    scale = float(np.trace(effects)) / (count - 1)
    best, mean, covariance = -np.inf, told, np.zeros_like(effects)
    for share in _SHARED if scale > 1e-9 else _SHARED[:1]:
        prior = share * effects / max(scale, 1e-9) + (1.0 - share) * np.eye(count - 1)
        values, vectors = np.linalg.eigh(prior)
        turned = vectors.T @ told
        for signal in _SIGNALS * sigma**2:
            total = signal * values + sigma**2
            likelihood = -0.5 * float((np.log(total) + turned**2 / total).sum())
            if likelihood > best:
                kept = signal * values / total
                best, mean = likelihood, vectors @ (kept * turned)
                covariance = (vectors * (kept * sigma**2)) @ vectors.T
    return basis @ mean, basis @ covariance @ basis.T


def _whole(candidates: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The sections that some candidate does not have: having one at all is what matters most of it."""
    return frozenset(name for tree in candidates for name, value in tree.items() if value is None)


def _settings(tree: Mapping[str, Any], whole: frozenset[str]) -> list[tuple[str, str]]:
    found = []
    for name, value in tree.items():
        inner = value.items() if isinstance(value, Mapping) and name not in whole else [("", value)]
        found += [(f"{name}.{key}", json.dumps(one, sort_keys=True, default=str)) for key, one in inner]
    return found
