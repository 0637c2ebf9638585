"""A lower bound on epsilon from one run with many canaries.

Steinke, Nasr and Jagielski 2023, "Privacy Auditing with One (1) Training Run", theorem 5.2.  Each of m canaries is in
or out by its own fair coin.  Whoever sees what an (epsilon, delta)-private mechanism released and guesses r of the
coins, abstaining from the rest, has v or more right with a probability of at most

    P[W >= v] + 2 m delta max over i in 1..m of P[v > W >= v - i] / i,     W ~ Binomial(r, 1 / (1 + e^-epsilon)).

The guesses may use all that was released, all real rows, and each other; the coins alone must be unknown to the
guesser.  An epsilon for which this probability is small is refuted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from scipy.stats import binom

from fedrec.errors import PrivacyError

_MOST_EPSILON = 60.0
_STEP = 1e-4


@dataclass(frozen=True)
class GuessCount:
    """How a guesser did: of ``canaries`` coins ``guesses`` were guessed and ``correct`` of these rightly.

    Raises:
        PrivacyError: not 0 <= correct <= guesses <= canaries, or there are no canaries.
    """

    canaries: int
    guesses: int
    correct: int

    def __post_init__(self) -> None:
        if not (0 <= self.correct <= self.guesses <= self.canaries and self.canaries >= 1):
            raise PrivacyError("a count of guesses does not add up", value=(self.canaries, self.guesses, self.correct))

    def __add__(self, other: GuessCount) -> GuessCount:
        """The count of two independent runs together: a coin is in one of them, so the same bounds hold for both."""
        return GuessCount(self.canaries + other.canaries, self.guesses + other.guesses, self.correct + other.correct)


def p_value(count: GuessCount, epsilon: float, delta: float) -> float:
    """An upper bound on the chance to do so well or better against an (epsilon, delta)-private mechanism, 0 to 1.

    Raises:
        PrivacyError: epsilon is negative or not a number, or delta is outside [0, 1].
    """
    if not (epsilon >= 0 and 0 <= delta <= 1):
        raise PrivacyError("a claim needs epsilon >= 0 and delta in [0, 1]", value=(epsilon, delta))
    chance, right = float(expit(epsilon)), count.correct
    tail = float(binom.sf(right - 1, count.guesses, chance))
    if delta == 0 or right == 0:
        return min(1.0, tail)
    # P[v > W >= v - i] for i = 1..v; it grows no more after that while it is divided by more.
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), count.guesses, chance))
    worst = float(np.max(below / np.arange(1, right + 1)))
    return min(1.0, tail + 2 * count.canaries * delta * worst)


def epsilon_lower_bound(count: GuessCount, delta: float, confidence: float) -> float:
    """The largest epsilon, to 0.0001 and at most 60, that the count refutes at this confidence; 0.0 if it refutes none.

    If the mechanism is (epsilon, delta)-private, the bound is above epsilon with a probability of at most
    ``1 - confidence``, provided that how many guesses are made was settled before the coins were looked at.

    Raises:
        PrivacyError: as `p_value`, or the confidence is not in (0, 1).
    """
    level = level_of(confidence)
    if p_value(count, 0.0, delta) > level:
        return 0.0
    low, high = 0.0, _MOST_EPSILON
    if p_value(count, high, delta) <= level:
        return high
    while high - low > _STEP:
        middle = (low + high) / 2
        low, high = (middle, high) if p_value(count, middle, delta) <= level else (low, middle)
    return math.floor(low / _STEP) * _STEP


def level_of(confidence: float) -> float:
    """``1 - confidence``. Raises PrivacyError unless the confidence is in (0, 1)."""
    if not 0 < confidence < 1:
        raise PrivacyError("a confidence must be above 0 and below 1", value=confidence, action="Use 0.95")
    return 1 - confidence
