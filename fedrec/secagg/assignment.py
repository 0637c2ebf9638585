"""What public randomness decides of a round: who neighbours whom, and who vouches for the list of survivors.

It follows from the seed, the roster, the round and who is *eligible*, all of which a device knows before the server
says anything.  Who turns up changes nothing: a device's k neighbours are the k eligible devices nearest to it on the
ring, there or not, so that a server that leaves devices out removes neighbours and brings no others nearer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fedrec.secagg.committee import draw_committee
from fedrec.secagg.context import Agreed
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.graph import NeighbourGraph
from fedrec.secagg.parameters import GraphParameters
from fedrec.secagg.thresholds import Thresholds


@dataclass(frozen=True)
class Assignment:
    """A round's ring and committee. Devices are named by their place among the ``eligible``, 0 to size - 1.

    ``eligible``: places in the roster, ascending.  ``least_in_half``: see `parameters.half_floor`.
    """

    eligible: tuple[int, ...]
    parameters: GraphParameters
    graph: NeighbourGraph
    least_in_half: int
    committee: frozenset[int]
    quorum: int

    @property
    def size(self) -> int:
        """Number of eligible devices."""
        return len(self.eligible)

    def place(self, device: int) -> int | None:
        """The place of a device that has this place in the roster, `None` if it is not eligible."""
        found = int(np.searchsorted(self._eligible, device))
        return found if found < self.size and self.eligible[found] == device else None

    def places(self, devices: Collection[int]) -> frozenset[int] | None:
        """The same of many; `None` if one of them is not eligible."""
        asked = np.fromiter(devices, dtype=np.int64, count=len(devices))
        found = np.minimum(np.searchsorted(self._eligible, asked), self.size - 1)
        return frozenset(found.tolist()) if (self._eligible[found] == asked).all() else None

    def check_halves(self, survivors: frozenset[int]) -> None:
        """That no stretch of k/2 positions of the ring holds fewer survivors than `half_floor` asks for.

        Raises:
            RefusedError: GAP.
        """
        if not self.least_in_half:
            return
        half = self.parameters.degree // 2
        there = np.zeros(self.size, dtype=np.int64)
        there[np.fromiter(survivors, dtype=np.int64, count=len(survivors))] = 1
        around = there[self.graph.order]
        sums = np.cumsum(np.concatenate(([0], around, around[:half])))
        least = int((sums[half : half + self.size] - sums[: self.size]).min())
        if least < self.least_in_half:
            what = f"the survivors leave a gap on the ring: any {half} in a row need {self.least_in_half}"
            raise RefusedError(Reason.GAP, what, value=least)

    @property
    def _eligible(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return _as_array(self.eligible)


def assign(agreed: Agreed, members: Collection[int], thresholds: Thresholds) -> Assignment:
    """The assignment of a round. ``members``: places in the roster that take part, for a sum that names no eligible.

    Raises:
        RefusedError: WEAK_PARAMETERS, there is none that is safe for so many devices under these thresholds.
    """
    eligible = agreed.eligible if agreed.eligible is not None else tuple(sorted(members))
    return _assign(agreed.ring_key, eligible, thresholds)


@lru_cache(maxsize=4)
def _assign(key: bytes, eligible: tuple[int, ...], thresholds: Thresholds) -> Assignment:
    size = len(eligible)
    parameters = thresholds.parameters(size)
    committee = thresholds.committee(size)
    return Assignment(
        eligible,
        parameters,
        NeighbourGraph(key, size, parameters.degree),
        thresholds.least_in_half(size),
        draw_committee(key, size, committee.members),
        committee.quorum,
    )


@lru_cache(maxsize=4)
def _as_array(places: tuple[int, ...]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(places, dtype=np.int64)
