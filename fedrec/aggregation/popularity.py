"""Query ``popularity``: how much each item is used, each user's part of unit L2 norm.

A user with the items x adds x / sqrt(|x|): whoever used much does not count for more than the bound of 1.
Changing one interaction of a user with n of them moves the part by sqrt(1/n + (1 - sqrt(1 - 1/n))^2) <= 1, so the
same bound holds for both privacy units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation.private_sum import PrivateSum
from fedrec.aggregation.question import Question

BOUND = 1.0


def ask(items: int, rows: int, resolution_bits: int | None) -> Question:
    """The question, over a catalogue of ``items`` items and at most ``rows`` users."""
    agreed = PrivateSum.of("popularity", items, BOUND, rows, resolution_bits=resolution_bits)
    return Question("popularity", 0, agreed)


def read(opened: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the server makes of the noisy sum: estimates that are not below zero. Shape [items]."""
    return np.maximum(opened, 0.0)
