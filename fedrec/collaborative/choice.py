"""Which way of reading the sums is taken: the noisy best, if it is better than the default by more than noise explains.

Every candidate's mean advantage is known up to Gaussian noise of one deviation s.  Of K candidates that are alike, the
noisy best seems better than a given one by about s sqrt(2 log K) though it is not.  So the default, which is what
somebody who may not look takes, is left only for a candidate whose advantage over it exceeds ``caution`` deviations of
such a difference, caution * s * sqrt(2).  With little noise that is nothing and the best is taken; with much it is more
than any candidate can show, and the default stays.

Pure functions of a noisy sum and public settings: choosing costs no budget beyond the sum's (Dwork and Roth 2014,
Proposition 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """What was chosen, and by what.

    ``advantages``: by candidate, mean NDCG@10 a user less the mean over the candidates, with noise.  ``noise``: its
    standard deviation in each.  ``margin``: by how much another than the default must be better.  ``reason``: a
    sentence.
    """

    chosen: str
    default: str
    advantages: Mapping[str, float]
    noise: float
    margin: float
    reason: str

    def over(self, name: str) -> float:
        """The advantage of what was chosen over another candidate."""
        return self.advantages[self.chosen] - self.advantages[name]


def choose(
    advantages: NDArray[np.float64], sigma: float, candidates: Sequence[str], default: str, *, caution: float = 1.0
) -> Choice:
    """Choose among candidates.

    Args:
        advantages: float64 [K], noisy mean advantages.
        sigma: standard deviation of the noise in each, 0 or above.
        candidates: their K names.
        default: one of them.
        caution: deviations of a difference by which another than the default must be better.
    """
    centred = advantages - advantages.mean()
    known = dict(zip(candidates, map(float, centred), strict=True))
    # Of candidates that are alike the default is first, then the order of the settings.
    best = max(known, key=lambda name: (known[name], name == default))
    margin, ahead = caution * sigma * math.sqrt(2.0), known[best] - known[default]
    noise = f"noise in a difference {sigma * math.sqrt(2.0):.4f}"
    if best == default:
        chosen, reason = default, f"the default is the best of {len(known)} candidates"
    elif ahead > margin:
        chosen, reason = best, f"better than {default}, the default, by {ahead:.4f} NDCG@10 a user ({noise})"
    else:
        chosen, reason = default, f"{best} is better than the default by {ahead:.4f} NDCG@10 a user only ({noise})"
    return Choice(chosen, default, known, sigma, margin, reason)
