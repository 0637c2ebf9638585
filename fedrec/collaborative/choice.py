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
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.config.selection import joined_name, parts_of

EXPECTED_LOSS: Final = 0.005
"""What a change of one setting is expected to cost, in NDCG@10 a user: what some 150 settings of three sets cost."""
EXPECTED_SPREAD: Final = 0.01
"""Standard deviation of what such a change does."""


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
        """The advantage of what was chosen over another candidate; of several taken together, that of the best."""
        return max(self.advantages[part] for part in parts_of(self.chosen)) - self.advantages[name]


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


def combined(
    choice: Choice, topics: Mapping[str, frozenset[str]], alone: Collection[str], *, sampling: float
) -> Choice:
    """Several candidates taken together, where each changes one setting: what each adds is taken to add up.

    The best candidate comes first, then the others in order, as long as they are about other things than those before,
    and each only if its posterior mean is above the default's.  Before anybody is asked, a change of a default that was
    made with care is expected to lose `EXPECTED_LOSS`, give or take `EXPECTED_SPREAD`; its seen advantage d is off by
    the noise of the sum and by the sample of users, of variance v together.  The posterior mean is above 0 where

        d > EXPECTED_LOSS v / EXPECTED_SPREAD^2

    (normal prior, normal noise; Efron and Morris 1975).  So with little noise every gain is taken, and where noise is
    much larger than any change can be, as of few users at a small epsilon, the default stays.

    Args:
        choice: of single candidates.
        topics: by candidate, what its changes are about.
        alone: candidates that are taken by themselves or not at all, such as ranking by popularity.
        sampling: standard deviation of a difference of two candidates by which users there are, in NDCG@10 a user.
    """
    margin = EXPECTED_LOSS * (2 * choice.noise**2 + sampling**2) / EXPECTED_SPREAD**2
    gains = {name: value - choice.advantages[choice.default] for name, value in choice.advantages.items()}
    better = [name for name in sorted(gains, key=lambda name: -gains[name]) if gains[name] > margin]
    taken: list[str] = []
    for name in better:
        if name in alone:
            if not taken:
                taken = [name]
                break
        elif all(topics[name].isdisjoint(topics[other]) for other in taken):
            taken.append(name)
    bar = f"better than {choice.default}, the default, by more than {margin:.4f} NDCG@10 a user (noise and sample)"
    if not taken:
        return replace(choice, chosen=choice.default, margin=margin, reason=f"no candidate is {bar}")
    found = ", ".join(f"{name} {gains[name]:+.4f}" for name in taken)
    return replace(choice, chosen=joined_name(taken), margin=margin, reason=f"{bar}: {found}")
