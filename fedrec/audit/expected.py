"""What a canary adds to a sum if its part is made and bounded as it should be: what an auditor looks for.

Written from the definitions of the queries, not with the code that devices run: that code is what is tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit.canaries import Canaries


def in_popularity(canaries: Canaries, catalogue: int, bound: float) -> sparse.csr_matrix:
    """x / sqrt(|x|), within the bound; [m, catalogue]."""
    width = canaries.histories.shape[1]
    rows = np.repeat(np.arange(len(canaries)), width)
    values = np.full(len(rows), min(1.0, bound) / np.sqrt(width))
    return sparse.csr_matrix((values, (rows, canaries.histories.ravel())), (len(canaries), catalogue))


def in_cooccurrence(canaries: Canaries, items: NDArray[np.int64], catalogue: int, bound: float) -> sparse.csr_matrix:
    """The upper triangle of x x^T / |x| over the items that take part, within the bound; [m, K (K + 1) / 2]."""
    column = np.full(catalogue, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    taking = np.sort(column[canaries.histories], axis=1)
    count = (taking >= 0).sum(axis=1)
    length = len(items) * (len(items) + 1) // 2
    size = np.maximum(count, 1)
    scale = np.minimum(1.0, bound / np.sqrt((1 + 1 / size) / 2)) / size
    rows, places = [], []
    width = taking.shape[1]
    for first in range(width):
        for second in range(first, width):
            there = np.flatnonzero((taking[:, first] >= 0) & (taking[:, second] >= 0))
            low, high = taking[there, first], taking[there, second]
            rows.append(there)
            places.append(low * len(items) - low * (low - 1) // 2 + high - low)
    row = np.concatenate(rows)
    return sparse.csr_matrix((scale[row], (row, np.concatenate(places))), (len(canaries), length))


def in_training(canaries: Canaries, length: int, bound: float, round_number: int) -> sparse.csr_matrix:
    """The canary's direction with this round's sign, at the bound; [m, length]."""
    directions = canaries.directions(length).multiply(bound * canaries.signs(round_number)[:, None])
    return sparse.csr_matrix(directions)
