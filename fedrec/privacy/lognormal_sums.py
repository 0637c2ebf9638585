"""Sums of independent log-normal numbers, as distributions on a geometric grid that are never too narrow.

A likelihood ratio L has mean 1 under the second of two distributions, and both hockey-stick divergences are
expectations of convex functions of it, E max(L - alpha, 0) and E max(1 - alpha L, 0).  So whatever spreads L out and
keeps its mean makes them larger (convex order; Blackwell).  Here every number that falls between two points of the
grid is split between them so that its mean stays: a spread.  Sums of spreads are spreads of sums.  What comes out
bounds the truth from above, and is off by the square of the grid's step.

Tails are split between the grid's end and 0, or infinity with vanishing chance, of which only the mean is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
_REACH: Final = 9.0  # deviations of a normal number; the tails beyond have a chance of 1e-19
_TRIMMED: Final = 1e-17  # chance, or part of the mean, that may be moved to 0 or infinity after each sum


@dataclass(frozen=True, eq=False)
class GridNumber:
    """A non-negative random number on the points ``exp(step * (lowest + k) + offset)``.

    ``masses``: chance of each point, float64 [n].  ``zero``: chance of 0.  ``infinite``: infinity's part of the mean.
    """

    step: float
    offset: float
    lowest: int
    masses: Floats
    zero: float = 0.0
    infinite: float = 0.0

    @property
    def values(self) -> Floats:
        """The points."""
        return np.asarray(np.exp(self.step * (self.lowest + np.arange(len(self.masses))) + self.offset))

    @property
    def mean(self) -> float:
        """Of the whole, infinity's part included."""
        return float(self.masses @ self.values) + self.infinite


def lognormal(shift: float, step: float, offset: float) -> GridNumber:
    """exp(shift g - shift^2 / 2), g standard normal: the likelihood ratio of Normal(shift, 1) to Normal(0, 1)."""
    middle = shift * shift / 2
    low = math.floor((-_REACH * shift - middle - offset) / step)
    high = math.ceil((_REACH * shift + middle - offset) / step)
    logs: Floats = step * np.arange(low, high + 1, dtype=np.float64) + offset
    edges: Floats = (logs + middle) / shift
    chance, mean, values = _between(edges), _between(edges - shift), np.exp(logs)
    up = np.clip((mean - chance * values[:-1]) / np.diff(values), 0.0, chance)
    masses = np.zeros(len(logs))
    masses[:-1] += chance - up
    masses[1:] += up
    first = float(ndtr(edges[0] - shift)) / float(values[0])
    last = float(ndtr(-edges[-1]))
    masses[0] += first
    masses[-1] += last
    infinite = max(0.0, float(ndtr(shift - edges[-1])) - last * float(values[-1]))
    return GridNumber(step, offset, low, masses, max(0.0, float(ndtr(edges[0])) - first), infinite)


def constant(value: float, step: float, offset: float) -> GridNumber:
    """A number that is known, above 0, between the two points around it."""
    low = math.floor((math.log(value) - offset) / step)
    below, above = (math.exp(step * place + offset) for place in (low, low + 1))
    up = min(max((value - below) / (above - below), 0.0), 1.0)
    return GridNumber(step, offset, low, np.array([1 - up, up]))


def add(one: GridNumber, other: GridNumber) -> GridNumber:
    """The sum of two independent numbers on one grid."""
    step, lowest = one.step, min(one.lowest, other.lowest)
    length = max(n.lowest + len(n.masses) for n in (one, other)) - lowest
    a, b = (np.pad(n.masses, (n.lowest - lowest, length - (n.lowest - lowest) - len(n.masses))) for n in (one, other))
    out = np.zeros(length + math.ceil(math.log(2) / step) + 2)
    # From so many points apart on, the larger of two values and the next point enclose their sum.
    far = min(length, math.ceil(-math.log(math.expm1(step)) / step) + 1)
    for apart in range(far):
        both = a[apart:] * b[: length - apart]
        if apart:
            both += b[apart:] * a[: length - apart]
        ratio = 1 + math.exp(-apart * step)
        up = math.floor(math.log(ratio) / step)
        share = (ratio - math.exp(up * step)) / (math.exp((up + 1) * step) - math.exp(up * step))
        share = min(max(share, 0.0), 1.0)
        out[apart + up : up + length] += (1 - share) * both
        out[apart + up + 1 : up + 1 + length] += share * both
    if far < length:
        relative = np.exp(step * np.arange(length))
        for large, small in ((a, b), (b, a)):
            chance, mean = np.cumsum(small)[: length - far], np.cumsum(small * relative)[: length - far]
            up_mass = large[far:] * mean / (relative[far:] * math.expm1(step))
            out[far:length] += large[far:] * chance - up_mass
            out[far + 1 : length + 1] += up_mass
    out[:length] += one.zero * b + other.zero * a
    total = GridNumber(step, one.offset, lowest, out, one.zero * other.zero, one.infinite + other.infinite)
    return _trimmed(total)


def sum_of(number: GridNumber, count: int) -> GridNumber:
    """The sum of ``count`` independent copies, at least 1."""
    total: GridNumber | None = None
    while True:
        if count & 1:
            total = number if total is None else add(total, number)
        count >>= 1
        if not count:
            assert total is not None
            return total
        number = add(number, number)


def _between(edges: Floats) -> Floats:
    """What a standard normal number has between neighbouring edges, exact in both tails."""
    return np.asarray(np.where(edges[:-1] > 0, -np.diff(ndtr(-edges)), np.diff(ndtr(edges))))


def _trimmed(number: GridNumber) -> GridNumber:
    """Without the points at both ends that hardly matter: split between 0 and the first, the last and infinity."""
    masses, values = number.masses, number.values
    low = int(np.searchsorted(np.cumsum(masses), _TRIMMED * masses.sum()))
    parts = masses * values
    above = np.cumsum(parts[::-1])[::-1]
    high = max(int(np.searchsorted(-above, -_TRIMMED * above[0])), low + 1)
    kept = masses[low:high].copy()
    first = float(parts[:low].sum() / values[low])
    last = float(masses[high:].sum())
    kept[0] += first
    kept[-1] += last
    return replace(
        number,
        lowest=number.lowest + low,
        masses=kept,
        zero=number.zero + max(0.0, float(masses[:low].sum()) - first),
        infinite=number.infinite + max(0.0, float(parts[high:].sum()) - last * float(values[high - 1])),
    )
