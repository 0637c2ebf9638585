"""Tails of the hypergeometric distribution, for populations up to 2^20, in microseconds and never too small."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

# Bits. Logarithms of factorials of 2^20 are below 2^24 and exact to 2^-28; a sum of at most 2^11 terms adds less.
MARGIN: Final = 1e-5
_NEGLIGIBLE: Final = 2.0**-60


@lru_cache(maxsize=65536)
def log2_tail(population: int, marked: int, drawn: int, least: int) -> float:
    """log2 of the chance that a draw without replacement holds at least ``least`` marked ones.

    Not below the true value, and at most twice `MARGIN` above it; -inf exactly if it cannot happen.  Costs one term
    for each number of marked ones that matters, at most ``drawn``.
    """
    lowest, last = max(0, drawn - (population - marked)), min(marked, drawn)
    if least > last:
        return -math.inf
    if least <= lowest:
        return 0.0
    term = total = 1.0
    for hits in range(least, last):
        term *= (marked - hits) * (drawn - hits) / ((hits + 1) * (population - marked - drawn + hits + 1))
        total += term
        if term < _NEGLIGIBLE and (marked - hits) * (drawn - hits) < (hits + 1) * (
            population - marked - drawn + hits + 1
        ):
            break
    first = (
        _log_choose(marked, least) + _log_choose(population - marked, drawn - least) - _log_choose(population, drawn)
    )
    return min(0.0, (first + math.log(total)) / math.log(2) + MARGIN)


def at_least(share: float, size: int) -> int:
    """Devices that a share stands for, rounded up: a tenth of five devices is one that tells, not none."""
    return math.ceil(round(share * size, 9))


def at_most(share: float, size: int) -> int:
    """The same, rounded down."""
    return math.floor(round(share * size, 9))


def _log_choose(all_of: int, some: int) -> float:
    return math.lgamma(all_of + 1) - math.lgamma(some + 1) - math.lgamma(all_of - some + 1)
