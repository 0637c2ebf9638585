"""From scores to guesses, and how many guesses to make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

from fedrec.audit.one_run import GuessCount
from fedrec.errors import PrivacyError

# Fewer guesses than this tell nothing at 95%, whatever is right of them.
_FEWEST = 16
_HALVINGS = 8


def guess(scores: NDArray[np.float64], included: NDArray[np.bool_], guesses: int) -> GuessCount:
    """Call the canaries with the highest scores in and those with the lowest out, and count what is right.

    Ranks only: a shift or a scale common to all scores changes nothing.  Equal scores are taken in the order of their
    places, which says nothing of the coins.

    Args:
        scores: [m], higher where a canary seems to be in.
        included: [m], the coins.
        guesses: how many to make, 0 to m; half of them (the odd one too) are "in". Settled before the coins are seen.

    Raises:
        PrivacyError: shapes differ, a score is not a number, or there are more guesses than canaries.
    """
    if scores.shape != included.shape or scores.ndim != 1 or np.isnan(scores).any():
        raise PrivacyError("each canary needs one score", value=(scores.shape, included.shape))
    if not 0 <= guesses <= len(scores):
        raise PrivacyError("there are more guesses than canaries", value=(guesses, len(scores)))
    order = np.argsort(-scores, kind="stable")
    said_in, said_out = order[: guesses - guesses // 2], order[len(order) - guesses // 2 :]
    right = int(included[said_in].sum()) + int((~included[said_out]).sum())
    return GuessCount(len(scores), guesses, right)


def numbers_of_guesses(canaries: int) -> list[int]:
    """The numbers of guesses that are worth a thought: all, half, a quarter, ..."""
    return [n for n in (canaries >> halving for halving in range(_HALVINGS)) if n >= _FEWEST] or [canaries]


def expected_count(canaries: int, guesses: int, mu: float) -> GuessCount:
    """What `guess` is expected to give where scores of canaries that are out are N(0, 1) and of those in N(mu, 1)."""
    if guesses == canaries:
        return GuessCount(canaries, guesses, int(guesses * ndtr(mu / 2)))

    def above(threshold: float) -> float:
        return float(ndtr(mu - threshold) + ndtr(-threshold)) / 2

    threshold = brentq(lambda t: above(t) - guesses / canaries / 2, -10.0, mu + 40.0)
    return GuessCount(canaries, guesses, int(guesses * ndtr(mu - threshold) / (2 * above(threshold))))
