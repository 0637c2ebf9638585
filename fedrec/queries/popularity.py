"""Query ``popularity``: how much each item is used, each user's part of unit L2 norm.

A user with the items x adds x / sqrt(|x|): whoever used much does not count for more than the bound of 1.
Changing one interaction of a user with n of them moves the part by sqrt(1/n + (1 - sqrt(1 - 1/n))^2) <= 1, so the
same bound holds for both privacy units.  With a ramp m, users of fewer than m items add x / sqrt(m): then one
interaction moves a part by 1 / sqrt(m) at most: by that below the ramp, and by sqrt(2 - 2 sqrt(1 - 1/n)), which is
less, from n = m + 1 on (`example_bound`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedrec.config import Unit
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request

BOUND = 1.0


def ask(items: int, rows: int, resolution_bits: int | None, *, unit: Unit = "user", ramp: int = 0) -> Request:
    """The request, over a catalogue of ``items`` items and at most ``rows`` users."""
    moves = example_bound(ramp) if unit == "example" else BOUND
    agreed = PrivateSum.of("popularity", items, BOUND, rows, resolution_bits=resolution_bits, moves=moves)
    return Request("popularity", 0, agreed)


def example_bound(ramp: int) -> float:
    """Most by which one interaction moves a user's part, L2, of popularity and of co-occurrence alike."""
    return 1.0 / math.sqrt(max(ramp, 1))


def read(opened: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the server makes of the noisy sum: estimates that are not below zero. Shape [items]."""
    return np.maximum(opened, 0.0)
