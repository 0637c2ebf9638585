"""Which way of reading the sums is taken: the best by what is known, if it is known to be better than the default.

Every candidate's mean advantage is known up to Gaussian noise of one deviation.  Of K candidates that are alike, the
noisy best seems better than a given one by about that times sqrt(2 log K) though it is not.  So the numbers are first
smoothed (`fedrec.collaborative.smoothing`), and the default, which is what somebody who may not look takes, is left
only for a candidate whose smoothed advantage over it exceeds ``caution`` posterior deviations of their difference.
With little noise that is nothing and the best is taken; with much it is more than any candidate can show, and the
default stays.

Pure functions of a noisy sum and public settings: choosing costs no budget beyond the sum's (Dwork and Roth 2014,
Proposition 2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.smoothing import alike, smoothed
from fedrec.config.selection import parts_of


@dataclass(frozen=True)
class Choice:
    """What was chosen, and by what.

    ``advantages``: by candidate, the users' mean of NDCG@10 less its mean over the candidates, clipped, with noise.
    ``noise``: its standard deviation in each.  ``smoothed``: what is known of them.  ``deviations``: by candidate, the
    posterior deviation of what was chosen less the candidate.  ``margin``: by how much the best had to be ahead of the
    default.  ``reason``: a sentence.
    """

    chosen: str
    default: str
    advantages: Mapping[str, float]
    noise: float
    smoothed: Mapping[str, float]
    deviations: Mapping[str, float]
    margin: float
    reason: str

    def over(self, name: str) -> float:
        """The smoothed advantage of what was chosen over another candidate; of several together, that of the best."""
        return max(self.smoothed[part] for part in parts_of(self.chosen)) - self.smoothed[name]


def choose(
    advantages: NDArray[np.float64],
    sigma: float,
    candidates: Mapping[str, Mapping[str, Any]],
    default: str,
    *,
    caution: float = 1.0,
    similarity: NDArray[np.float64] | None = None,
) -> Choice:
    """Choose among candidates.

    Args:
        advantages: float64 [K], noisy mean advantages.
        sigma: standard deviation of the noise in each, 0 or above.
        candidates: their K names and settings trees.
        default: one of them.
        caution: posterior deviations by which another than the default must be better.
        similarity: [K, K], what `alike` says of the candidates, where it is at hand.
    """
    names = tuple(candidates)
    alikeness = alike(tuple(candidates.values())) if similarity is None else similarity
    mean, covariance = smoothed(advantages, sigma, alikeness)
    known = dict(zip(names, map(float, mean), strict=True))

    def apart(one: str, other: str) -> float:
        at, beside = names.index(one), names.index(other)
        return float(max(covariance[at, at] + covariance[beside, beside] - 2 * covariance[at, beside], 0.0) ** 0.5)

    # Of candidates that are alike the default is first, then the order of the settings.
    best = max(names, key=lambda name: (known[name], name == default))
    margin, ahead = caution * apart(best, default), known[best] - known[default]
    chosen = best if ahead > margin else default
    if best == default:
        reason = f"the default is the best of {len(known)} candidates, by all that is known"
    else:
        so = f"by {ahead:.4f} in clipped NDCG@10 a user, known to {apart(best, default):.4f}"
        reason = f"better than {default}, the default, {so}" if chosen == best else f"{best} is better, but {so} only"
    return Choice(
        chosen,
        default,
        dict(zip(names, map(float, advantages - advantages.mean()), strict=True)),
        sigma,
        known,
        {name: apart(chosen, name) for name in names},
        margin,
        reason,
    )
