"""Devices dealt once, each by itself and in secret, into groups that take turns: balls in bins, Gaussian noise.

Each device is in one of b groups, with equal chance and independently of all others (so the groups' sizes vary), and
round t asks group t mod b.  Neighbours: one device's data are replaced by nothing.  Who sees the release does not
know the dealing nor how many were asked.

**The pair.**  Let the noise be z sensitivities, and k_i the rounds of group i.  Given the groups of all others, which
are independent of the device's, a run is a function of

    P = 1/b sum_i Normal(sqrt(k_i) / z e_i, I)   against   Q = Normal(0, I)   in b dimensions:

take a number for each round, with mean 1 where the device's group is asked and 0 elsewhere, and noise z; of those of
one group only their sum tells which of P and Q they are of, so that they can be made from it.  Given what earlier
rounds showed, round t is the sum of the others, plus this number along the direction of what the device adds, plus
noise that fills up the covariance if that is less than the sensitivity or across it.  That is post-processing, and it
holds when rounds depend on those before (Chua et al., Balls-and-Bins Sampling for DP-SGD, AISTATS 2025, section 3;
here for several epochs of one dealing).  Swapping the two gives the other direction.

**Its losses.**  P/Q = 1/b sum_i exp(m_i g_i - m_i^2 / 2), m_i = sqrt(k_i) / z, with independent standard normal g_i
under Q: a mean of log-normal numbers, whose distribution `lognormal_sums` bounds from above.  Nothing is sampled and
nothing has a confidence.

**Several costs of one dealing.**  Of two with noises z and z', the pair has m_i^2 = k_i / z^2 + k'_i / z'^2.  Had
they dealings of their own, the pair would be a product, whose ratio is the mean over shifts of 1/b sum_i Y_i Y'_(i +
shift), each distributed as with one dealing; by Jensen's inequality its divergences are at most those of one dealing.
So costs of the same number of groups are accounted as of one dealing, and that is right in either case.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np

from fedrec.privacy.dominating_pair import DominatingPair
from fedrec.privacy.lognormal_sums import GridNumber, add, constant, lognormal, sum_of

# Of one device's rounds as one Gaussian: above, epsilon is beyond 100 whatever the dealing, and numbers overflow.
MOST_SHIFT: Final = 16.0
_STEP: Final = 0.01
_MOST_POINTS: Final = 12000

Shifts = tuple[tuple[float, int], ...]


def shifts_of(groups: int, costs: tuple[tuple[float, int], ...]) -> Shifts:
    """How far the device moves the sum of its rounds, m_i, and how many groups are moved so far.

    Args:
        groups: b, at least 1.
        costs: noise multiplier and rounds of each, from its first round on.  Of several, every group counts as one with
            the most rounds of each, since which groups are asked once more is not known of them together.
    """
    if len(costs) > 1:
        return ((math.sqrt(math.fsum(-(-count // groups) / noise**2 for noise, count in costs)), groups),)
    ((noise, count),) = costs
    turns, more = divmod(count, groups)
    both = ((math.sqrt(turns + 1) / noise, more), (math.sqrt(turns) / noise, groups - more))
    return tuple((shift, members) for shift, members in both if members)


@lru_cache(maxsize=64)
def dominating_pair(shifts: Shifts, interval: float) -> DominatingPair:
    """Of a whole run, on a grid of losses; ``shifts`` as of `shifts_of`, none above `MOST_SHIFT`."""
    groups = sum(members for _, members in shifts)
    places, offset = _grid(shifts, groups, interval)
    total: GridNumber | None = None
    for shift, members in shifts:
        if shift:
            part = sum_of(lognormal(shift, places * interval, offset), members)
        else:
            part = constant(float(members), places * interval, offset)
        total = part if total is None else add(total, part)
    assert total is not None
    length = places * (len(total.masses) - 1) + 1
    upper, lower = np.zeros(length), np.zeros(length)
    lower[::places] = total.masses
    upper[::places] = total.masses * total.values / groups
    lowest = places * total.lowest - round(math.log(groups) / interval)
    return DominatingPair(interval, lowest, upper, lower, total.infinite / groups, total.zero)


def _grid(shifts: Shifts, groups: int, interval: float) -> tuple[int, float]:
    """The step of the sums' grid, in intervals, and an offset with which the mean's logarithms are whole intervals.

    The step is a thirtieth of the ratio's deviation, as far as that can be afforded.
    """
    most = max(shift for shift, _ in shifts)
    variance = math.fsum(members * math.expm1(min(shift**2, 500)) for shift, members in shifts) / groups**2
    widest = 18 * most + most**2
    step = max(min(_STEP, math.sqrt(variance) / 30), widest / _MOST_POINTS)
    return max(1, round(step / interval)), math.log(groups) - interval * round(math.log(groups) / interval)
