"""How many neighbours and how high a threshold: what (k, t) guarantee, and the smallest that guarantee enough.

The devices stand on a ring in random order (`graph`), so who among a device's neighbours is corrupt, or gone, is a
draw without replacement: hypergeometric tails and a union over the n devices, as in section 3.2 of Bell et al. (CCS
2020).  All probabilities are exact up to floating point; all are given as bits, -log2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

from fedrec.errors import ConfigError
from fedrec.secagg.graph import valid_degree

NEVER = math.inf
# Up to so many neighbours everybody is everybody's: it costs little, and then no order of the ring is unlucky.
_ALL_TOGETHER = 32


@dataclass(frozen=True)
class Assumptions:
    """What is assumed about a cohort, and how sure one wants to be.

    Args:
        corrupt: share of the cohort that tells an honest but curious server all it knows.
        dropout: share of the cohort that is gone by the last exchange.
        colluding: share of the cohort that helps a server which departs from the protocol as it likes.
        security: bits; 2^-security bounds the chance (over the ring's order) that privacy fails.
        correctness: bits; 2^-correctness bounds the chance that a round fails though no more dropped out.

    Raises:
        ConfigError: a share is not in [0, 1), both together reach 1, or bits are not positive.
    """

    corrupt: float = 0.1
    dropout: float = 0.1
    colluding: float = 0.0
    security: float = 40.0
    correctness: float = 30.0

    def __post_init__(self) -> None:
        shares = (self.corrupt, self.dropout, self.colluding)
        if not all(0 <= share < 1 for share in shares) or self.corrupt + self.dropout >= 1:
            raise ConfigError("corrupt, dropout and colluding are shares below 1", value=shares)
        if not (self.security > 0 and self.correctness > 0):
            raise ConfigError("security and correctness are positive bits", value=(self.security, self.correctness))


@dataclass(frozen=True)
class GraphParameters:
    """Neighbours of a device and shares that open a secret."""

    degree: int
    threshold: int


@dataclass(frozen=True)
class Guarantee:
    """Bits of what (k, t) give at n devices; infinite where it cannot happen at all.

    ``shares``: no corrupt neighbours alone open an honest device's secret.  ``connected``: the honest survivors hang
    together by masks that nobody else knows, so a curious server sees one sum.  ``two_lists``: whatever a malicious
    server tells to whom, it opens at most one sum with any honest device in it, over at least `least_sum` honest ones.
    ``correct``: the round is not failed for want of shares.
    """

    shares: float
    connected: float
    two_lists: float
    correct: float

    def holds(self, wanted: Assumptions, *, for_devices: bool = False) -> bool:
        """Whether every part is at least what is wanted; a device does not insist on correctness."""
        private = min(self.shares, self.connected, self.two_lists) >= wanted.security
        return private and (for_devices or self.correct >= wanted.correctness)


@lru_cache(maxsize=4096)
def guarantee(size: int, degree: int, threshold: int, wanted: Assumptions) -> Guarantee:
    """What ``degree`` and ``threshold`` give a cohort of ``size``, if no more devices are corrupt or gone than assumed.

    ``wanted.security`` and ``wanted.correctness`` are not looked at.
    """
    corrupt, gone = _at_least(wanted.corrupt, size), _at_most(wanted.dropout, size)
    others = size - 1
    return Guarantee(
        shares=_union(size, _tail(others, corrupt, degree, threshold)),
        connected=_connected(size, degree, corrupt + gone),
        two_lists=_two_lists(size, degree, threshold, _at_least(wanted.colluding, size)),
        correct=_union(size, _tail(others, gone, degree, degree - threshold + 1)),
    )


def choose(size: int, wanted: Assumptions | None = None) -> GraphParameters:
    """The fewest neighbours, then the lowest threshold, that guarantee what is wanted to a cohort of ``size``.

    In cohorts of up to 33, and where a ring is too small, everybody is everybody's neighbour.

    Raises:
        ConfigError: there are none; assume less, or ask more devices.
    """
    return _choose(size, wanted or Assumptions())


@lru_cache(maxsize=1024)
def _choose(size: int, wanted: Assumptions) -> GraphParameters:
    small = size - 1 <= _ALL_TOGETHER
    degrees = [] if size < 2 else [size - 1] if small else [*range(2, size - 1, 2), size - 1]
    removed = _at_least(wanted.corrupt, size) + _at_most(wanted.dropout, size)
    for degree in degrees:
        # Connectedness does not depend on the threshold: most degrees that are too low fall here, at no cost.
        if _connected(size, degree, removed) < wanted.security:
            continue
        for threshold in range(degree // 2 + 1, degree + 1):
            found = guarantee(size, degree, threshold, wanted)
            if found.correct < wanted.correctness:
                break
            if found.holds(wanted):
                return GraphParameters(degree, threshold)
    raise ConfigError(
        "no number of neighbours and threshold is safe for a cohort of this size",
        value=size,
        action="Ask more devices, or assume fewer that drop out or collude",
    )


def least_sum(size: int, degree: int, threshold: int, colluding: int = 0) -> int:
    """The fewest honest devices in any sum that a malicious server can open, where ``two_lists`` holds.

    ``colluding``: most corrupt neighbours that one device has.  Each device in the sum has at least
    threshold - colluding others of it among its neighbours, and no gap on the ring is longer than half a degree.
    """
    near = max(threshold - colluding, 0) + 1
    if degree == size - 1:
        return near
    return near * max(1, size // (degree + degree // 2 + 1))


def _at_least(share: float, size: int) -> int:
    """Devices that a share of a cohort stands for, rounded up: a tenth of five devices is one that tells, not none."""
    return math.ceil(round(share * size, 9))


def _at_most(share: float, size: int) -> int:
    return math.floor(round(share * size, 9))


def _connected(size: int, degree: int, removed: int) -> float:
    """The rest falls apart only where half a degree of neighbouring positions, or more, are removed twice over."""
    if degree == size - 1:
        return NEVER
    half = degree // 2
    return _union(size, _tail(size - 1, removed, half, half))


def _two_lists(size: int, degree: int, threshold: int, colluding: int) -> float:
    """See docs/secure-aggregation.md, "Two lists": half a neighbourhood must not hold t - k/2 corrupt devices."""
    if 2 * threshold <= degree:
        return 0.0
    if degree == size - 1:
        return NEVER if 2 * threshold > degree + min(colluding, degree) else 0.0
    half = degree // 2
    return _union(2 * size, _tail(size - 1, colluding, half, threshold - half))


def _union(events: int, log2_chance: float) -> float:
    return max(0.0, -log2_chance - math.log2(events)) if log2_chance > -math.inf else NEVER


@lru_cache(maxsize=65536)
def _tail(population: int, marked: int, drawn: int, least: int) -> float:
    """log2 of the chance that a draw without replacement holds at least ``least`` marked ones; -inf if it cannot."""
    first, last = max(least, 0, drawn - (population - marked)), min(marked, drawn)
    if first > last:
        return -math.inf
    ways = sum(
        math.comb(marked, hits) * math.comb(population - marked, drawn - hits) for hits in range(first, last + 1)
    )
    # Whole numbers of thousands of bits: the logarithm of each, since their quotient may be below any float.
    return math.log2(ways) - math.log2(math.comb(population, drawn))


def check_exists(size: int, degree: int, threshold: int) -> bool:
    """Whether a graph of this degree exists and the threshold can be met."""
    return valid_degree(size, degree) and 1 <= threshold <= degree
