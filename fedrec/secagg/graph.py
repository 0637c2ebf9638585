"""Who is whose neighbour: a ring of all devices in an order that nobody chose, each tied to the k nearest.

Bell et al. (CCS 2020, section 3.1) take a Harary graph whose nodes are permuted at random.  Every device computes the
order for itself from public randomness.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fedrec.randomness import prf_uint64


class NeighbourGraph:
    """The neighbours of ``size`` devices.

    Args:
        seed: 32 bytes; fixes the order.
        size: number of devices, at least 2; a device is named by its place, 0 to size - 1.
        degree: neighbours of each: even and below size - 1, or size - 1 (everybody is everybody's neighbour).

    A neighbour's slot, 0 to degree - 1, says where on the ring it stands seen from the device: first the half ahead,
    nearest first, then the half behind.
    """

    def __init__(self, seed: bytes, size: int, degree: int) -> None:
        if not valid_degree(size, degree):
            raise ValueError(f"no such graph: {size} devices of {degree} neighbours")
        self.size, self.degree = size, degree
        places = np.arange(size, dtype=np.uint64)
        drawn = prf_uint64(seed, places, np.zeros(size, dtype=np.uint64))
        # Sorting by pseudo-random numbers is a uniform order; two equal ones (chance n^2 2^-65) keep theirs.
        self.order: NDArray[np.int64] = np.argsort(drawn, kind="stable")
        half = degree // 2
        ahead = range(1, size) if degree == size - 1 else range(1, half + 1)
        behind = () if degree == size - 1 else range(1, half + 1)
        self._offsets = np.array([*ahead, *(-step for step in behind)], dtype=np.int64)

    @cached_property
    def position(self) -> NDArray[np.int64]:
        """Where on the ring each place stands."""
        position = np.empty(self.size, dtype=np.int64)
        position[self.order] = np.arange(self.size)
        return position

    def neighbours(self, place: int) -> tuple[int, ...]:
        """A device's neighbours, by slot."""
        return tuple(self.order[(self.position[place] + self._offsets) % self.size].tolist())

    def back(self, slot: int) -> int:
        """The slot in which the neighbour in ``slot`` sees the device."""
        if self.degree == self.size - 1:
            return self.degree - 1 - slot
        half = self.degree // 2
        return slot + half if slot < half else slot - half


def valid_degree(size: int, degree: int) -> bool:
    """Whether a graph of this size and degree exists."""
    return size >= 2 and (degree == size - 1 or (0 < degree < size - 1 and degree % 2 == 0))
