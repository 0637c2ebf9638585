"""How many neighbours and how high a threshold: what (k, t) guarantee, and the smallest that guarantee enough.

The eligible devices stand on a ring in an order that nobody chose (`graph`), so who among a device's neighbours is
corrupt, or gone, is a draw without replacement: hypergeometric tails and a union over the n devices, as in section 3.2
of Bell et al. (CCS 2020).  All chances are given as bits, -log2, rounded down; docs/secure-aggregation.md has the
arguments.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fedrec.errors import ConfigError
from fedrec.secagg.graph import valid_degree
from fedrec.secagg.tails import MARGIN, at_least, at_most, log2_tail

NEVER: Final = math.inf
LARGEST_DEGREE: Final = 1024
# Up to so many neighbours everybody is everybody's: it costs little, and then no order of the ring is unlucky.
_ALL_TOGETHER: Final = 32


@dataclass(frozen=True)
class Assumptions:
    """What is assumed about the devices, and how sure one wants to be.

    Args:
        corrupt: share of the roster that tells an honest but curious server all it knows.
        dropout: share of the devices asked that is missing from the sum at most; a lying server may choose which.
        colluding: share of the roster that helps a server which departs from the protocol as it likes.
        security: bits; 2^-security bounds the chance (over the ring's order) that privacy fails.
        correctness: bits; 2^-correctness bounds the chance that a round fails though no more dropped out.
        roster: devices that those asked were drawn from, by public randomness; 0 = all of them are asked.  A cohort
            may hold a larger share of them that collude than the roster does.

    Raises:
        ConfigError: a share is not in [0, 1), both together reach 1, or bits are not positive.
    """

    corrupt: float = 0.1
    dropout: float = 0.1
    colluding: float = 0.05
    security: float = 40.0
    correctness: float = 30.0
    roster: int = 0

    def __post_init__(self) -> None:
        shares = (self.corrupt, self.dropout, self.colluding)
        if not all(0 <= share < 1 for share in shares) or self.corrupt + self.dropout >= 1:
            raise ConfigError("corrupt, dropout and colluding are shares below 1", value=shares)
        if not (self.security > 0 and self.correctness > 0):
            raise ConfigError("security and correctness are positive bits", value=(self.security, self.correctness))

    def floor(self, size: int) -> int:
        """The fewest of ``size`` devices that may be in a sum: all but the share that may be missing."""
        return size - at_most(self.dropout, size)

    def population(self, size: int) -> int:
        """How many devices the ``size`` that are asked were drawn from: where they stand on the ring, too, is a draw of
        these."""
        return max(size, self.roster)


def most_colluding(asked: int, wanted: Assumptions) -> int:
    """The most devices among ``asked`` that collude, but with a chance of 2^-security.

    They are a share of the roster, and those asked are drawn from it by public randomness: a cohort may hold more than
    that share.  Of devices that are all asked it is the share, rounded up.
    """
    population = wanted.population(asked)
    colluding, most = at_least(wanted.colluding, population), at_least(wanted.colluding, asked)
    while most < asked and -log2_tail(population, colluding, asked, most + 1) < wanted.security:
        most += 1
    return most


@dataclass(frozen=True)
class GraphParameters:
    """Neighbours of a device and shares that open a secret."""

    degree: int
    threshold: int


@dataclass(frozen=True)
class Guarantee:
    """Bits of what (k, t) give at n devices; infinite where it cannot happen at all.

    ``shares``: no corrupt neighbours alone open an honest device's secret.  ``connected``: the honest survivors hang
    together by masks that nobody else knows, so a curious server sees one sum.  ``uncut``: the same for a server that
    chooses who is missing, in every list of survivors that devices accept (`half_floor`).  ``correct``: the round is
    not failed for want of shares, nor because devices do not accept the list.
    """

    shares: float
    connected: float
    uncut: float
    correct: float

    def holds(self, wanted: Assumptions, *, for_devices: bool = False) -> bool:
        """Whether every part is at least what is wanted; a device does not insist on correctness."""
        private = min(self.shares, self.connected, self.uncut) >= wanted.security
        return private and (for_devices or self.correct >= wanted.correctness)


@lru_cache(maxsize=4096)
def guarantee(size: int, degree: int, threshold: int, wanted: Assumptions) -> Guarantee:
    """What ``degree`` and ``threshold`` give ``size`` devices that are asked, if no more are corrupt or gone than
    assumed."""
    least, gone = half_floor(size, degree, wanted), at_most(wanted.dropout, size)
    few = _union(size, log2_tail(size - 1, gone, degree, degree - threshold + 1))
    return Guarantee(
        shares=_shares(size, degree, threshold, wanted),
        connected=_connected(size, degree, wanted),
        uncut=_uncut(size, degree, least, wanted),
        correct=min(few, _accepted(size, degree, least, wanted)),
    )


def choose(size: int, wanted: Assumptions | None = None) -> GraphParameters:
    """The fewest neighbours, then the lowest threshold above half of them, that guarantee what is wanted.

    Among up to 33 devices, and where a ring is too small, everybody is everybody's neighbour.  Takes milliseconds for
    any size: no more than a few chances for each number of neighbours up to 1,024, and one for each threshold tried.

    Raises:
        ConfigError: there are none; assume less, or ask more devices.
    """
    return _choose(size, wanted or Assumptions())


@lru_cache(maxsize=256)
def _choose(size: int, wanted: Assumptions) -> GraphParameters:
    missing = 0
    for degree in _degrees(size):
        if min(_connected(size, degree, wanted), _safe_halves(size, degree, wanted)) < wanted.security:
            continue
        if _accepted(size, degree, half_floor(size, degree, wanted), wanted) < wanted.correctness:
            continue
        # Neighbours that are missing, one more or less with each step of the degree.
        missing = _most_missing(size, degree, missing, wanted)
        highest = degree - missing
        if highest <= degree // 2 or _shares(size, degree, highest, wanted) < wanted.security:
            continue
        low, high = degree // 2 + 1, highest
        while low < high:
            middle = (low + high) // 2
            if _shares(size, degree, middle, wanted) >= wanted.security:
                high = middle
            else:
                low = middle + 1
        return GraphParameters(degree, low)
    raise ConfigError(
        "no number of neighbours and threshold is safe for so many devices",
        value=size,
        action="Ask more devices, or assume fewer that drop out or collude",
    )


def _degrees(size: int) -> Iterator[int]:
    if size >= 2 and size - 1 > _ALL_TOGETHER:
        yield from range(2, min(size - 1, LARGEST_DEGREE + 1), 2)
    if 2 <= size <= LARGEST_DEGREE + 1:
        yield size - 1


def _most_missing(size: int, degree: int, known: int, wanted: Assumptions) -> int:
    """The fewest neighbours that all devices may miss at once; ``known``: what it is at least."""
    gone = at_most(wanted.dropout, size)
    while known < degree and _union(size, log2_tail(size - 1, gone, degree, known + 1)) < wanted.correctness:
        known += 1
    return known


@lru_cache(maxsize=4096)
def half_floor(size: int, degree: int, wanted: Assumptions) -> int:
    """The fewest survivors among any k/2 devices that follow each other on the ring: devices accept no other list.

    A ring falls apart only where k/2 positions in a row hold no honest survivor, at two places.  With at least so many
    survivors in every such stretch, all of them would have to collude, twice.  0 where everybody is everybody's
    neighbour, k/2 + 1 (which no list has) where k is too small.
    """
    if degree == size - 1:
        return 0
    half = degree // 2
    low, high = 1, half + 1
    while low < high:
        middle = (low + high) // 2
        if _uncut(size, degree, middle, wanted) >= wanted.security:
            high = middle
        else:
            low = middle + 1
    return low


def _safe_halves(size: int, degree: int, wanted: Assumptions) -> float:
    return _uncut(size, degree, half_floor(size, degree, wanted), wanted)


def _shares(size: int, degree: int, threshold: int, wanted: Assumptions) -> float:
    population = wanted.population(size)
    corrupt = at_least(max(wanted.corrupt, wanted.colluding), population)
    return _union(size, log2_tail(population - 1, corrupt, degree, threshold))


def _connected(size: int, degree: int, wanted: Assumptions) -> float:
    """The rest falls apart only where k/2 neighbouring positions, or more, are removed twice over; one is counted."""
    if degree == size - 1:
        return NEVER
    population, half = wanted.population(size), degree // 2
    corrupt, gone = at_least(wanted.corrupt, population), at_most(wanted.dropout, size)
    if population == size:
        return _union(size, log2_tail(size - 1, corrupt + gone, half, half))
    # Two draws, each negatively associated, and so is which positions are in either: at most a product over positions.
    removed = corrupt / (population - 1) + gone / (size - 1)
    return _union(size, half * math.log2(removed) + MARGIN if removed else -math.inf)


def _uncut(size: int, degree: int, least: int, wanted: Assumptions) -> float:
    """Two stretches apart from each other with ``least`` colluding devices each: see docs/secure-aggregation.md."""
    if degree == size - 1:
        return NEVER
    if least > degree // 2:
        return 0.0
    population = wanted.population(size)
    chance = log2_tail(population, at_least(wanted.colluding, population), degree // 2, least)
    # Places of devices without replacement are negatively associated: both together have at most the product.
    return NEVER if chance == -math.inf else max(0.0, 2 * (-chance - math.log2(size)) + 1)


def _accepted(size: int, degree: int, least: int, wanted: Assumptions) -> float:
    """That no stretch of k/2 positions holds fewer than ``least`` survivors, if who is gone is random."""
    if degree == size - 1:
        return NEVER
    half = degree // 2
    return _union(size, log2_tail(size, at_most(wanted.dropout, size), half, half - least + 1))


def _union(events: int, log2_chance: float) -> float:
    return max(0.0, -log2_chance - math.log2(events)) if log2_chance > -math.inf else NEVER


def check_exists(size: int, degree: int, threshold: int) -> bool:
    """Whether a graph of this degree exists and the threshold can be met."""
    return valid_degree(size, degree) and 1 <= threshold <= degree
