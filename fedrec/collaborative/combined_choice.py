"""Several candidates taken together: one number a change, and as many readings as there are combinations of changes.

What each change adds to the default is taken to add up with what others add, as long as they are about other things.
Pure functions of a noisy sum and public settings, as `fedrec.collaborative.choice`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from fedrec.collaborative.choice import Choice
from fedrec.config.selection import joined_name

EXPECTED_LOSS: Final = 0.005
"""What a change of one setting is expected to cost, in NDCG@10 a user: a judgement, not a measurement."""
EXPECTED_SPREAD: Final = 0.01
"""Standard deviation of what such a change does: likewise."""
INTERPLAY: Final = 0.5
"""By how much the gain of one change alone is off beside another, as a part of the other's gain: likewise."""


def combined(
    choice: Choice, topics: Mapping[str, frozenset[str]], alone: Collection[str], *, sampling: float
) -> Choice:
    """The best candidate and, in order, the others that are about other things than those before.

    Each is taken only if its posterior mean is above the default's.  Before anybody is asked, a change of a default
    that was made with care is expected to lose `EXPECTED_LOSS`, give or take `EXPECTED_SPREAD`; its seen advantage d is
    off by the noise of the sum and by the sample of users, of variance v together.  The posterior mean is above 0 where

        d > EXPECTED_LOSS v / EXPECTED_SPREAD^2

    (normal prior, normal noise; Efron and Morris 1975).  So with little noise every gain is taken, and where noise is
    much larger than any change can be, as of few users at a small epsilon, the default stays.

    What a change adds beside others that are taken is not what it adds to the default: each of those may have mended
    the same thing.  That is as one more error of its advantage, of a deviation of `INTERPLAY` times the gain of each.

    Args:
        choice: among single candidates.
        topics: by candidate, what its changes are about.
        alone: candidates that are taken by themselves or not at all, such as ranking by popularity.
        sampling: standard deviation of a difference of two candidates by which users there are, in NDCG@10 a user.
    """
    variance = 2 * choice.noise**2 + sampling**2
    margin = margin_of(variance)
    gains = {name: value - choice.advantages[choice.default] for name, value in choice.advantages.items()}
    better = [name for name in sorted(gains, key=lambda name: -gains[name]) if gains[name] > margin]
    taken: list[str] = []
    for name in better:
        if name in alone:
            if not taken:
                taken = [name]
                break
        elif all(topics[name].isdisjoint(topics[other]) for other in taken):
            unsure = variance + sum((INTERPLAY * gains[other]) ** 2 for other in taken)
            taken += [name] if gains[name] > margin_of(unsure) else []
    bar = f"better than {choice.default}, the default, by more than {margin:.4f} NDCG@10 a user (noise and sample)"
    found = ", ".join(f"{name} {gains[name]:+.4f}" for name in taken)
    return replace(
        choice,
        chosen=joined_name(taken) if taken else choice.default,
        deviations=dict.fromkeys(gains, math.sqrt(variance)),
        margin=margin,
        reason=f"{bar}: {found}" if taken else f"no candidate is {bar}",
    )


def margin_of(variance: float) -> float:
    """The advantage, in NDCG@10 a user, above which a change is expected to gain, known up to a ``variance``."""
    return EXPECTED_LOSS * variance / EXPECTED_SPREAD**2
