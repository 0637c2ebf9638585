"""What a canary adds to a sum if its part is made and bounded as it should be: what an auditor looks for.

Written from the definitions of the queries, not with the code that devices run: that code is what is tested.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.audit.canaries import Canaries
from fedrec.audit.outer import OuterParts

Floats = NDArray[np.float64]


def in_popularity(canaries: Canaries, catalogue: int, bound: float, full_length: int = 0) -> sparse.csr_matrix:
    """x / sqrt(max(|x|, full_length)), within the bound; [m, catalogue].

    What a canary has in any case counts the same with and without the rest: both are below the full length.
    """
    width = canaries.histories.shape[1]
    rows = np.repeat(np.arange(len(canaries)), width)
    values = np.full(len(rows), min(1.0, bound) / np.sqrt(max(width + len(canaries.base), full_length)))
    return sparse.csr_matrix((values, (rows, canaries.histories.ravel())), (len(canaries), catalogue))


def in_cooccurrence(
    canaries: Canaries, items: NDArray[np.int64], catalogue: int, bound: float, full_length: int = 0
) -> sparse.csr_matrix:
    """The upper triangle of x x^T / max(|x|, full_length) over the items that take part, within the bound.

    Shape [m, K (K + 1) / 2].

    Of what a canary has in any case, only the pairs with its secret items hang on its coin.
    """
    column = np.full(catalogue, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    width = canaries.histories.shape[1]
    taking = column[np.hstack([canaries.histories, np.tile(canaries.base, (len(canaries), 1))])]
    count = np.maximum((taking >= 0).sum(axis=1), 1)
    size = np.maximum(count, full_length)
    scale = np.minimum(1.0, bound * size / np.sqrt(count * (count + 1) / 2)) / size
    rows, places = [], []
    for first in range(width):
        for second in range(first, taking.shape[1]):
            there = np.flatnonzero((taking[:, first] >= 0) & (taking[:, second] >= 0))
            pair = taking[there][:, [first, second]]
            low, high = pair.min(axis=1), pair.max(axis=1)
            rows.append(there)
            places.append(low * len(items) - low * (low - 1) // 2 + high - low)
    row, length = np.concatenate(rows), len(items) * (len(items) + 1) // 2
    return sparse.csr_matrix((scale[row], (row, np.concatenate(places))), (len(canaries), length))


def in_factors(
    canaries: Canaries, centre: Floats, vectors: Floats, bound: float, weights: Floats | None = None
) -> OuterParts:
    """x' y'^T at the bound: x' the history less its part along ``centre`` [items], times ``weights`` [items], y' =
    vectors^T of the same without weights, both of length 1.

    ``vectors``: [items, r], as they were asked.  A canary whose history is at right angles to all of them, or nothing
    but the centre, adds nothing.
    """
    count, width = canaries.histories.shape
    rows = np.repeat(np.arange(count), width)
    values = np.full(len(rows), 1 / np.sqrt(width))
    used = sparse.csr_matrix((values, (rows, canaries.histories.ravel())), (count, len(centre)))
    along = used @ centre
    scale = np.ones(len(centre)) if weights is None else weights
    weighed, heavy = sparse.csr_matrix(used.multiply(scale[None, :])), scale * centre
    own = np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel()
    square = own - 2 * along * (weighed @ heavy) + along**2 * (heavy @ heavy)
    left, least = np.sqrt(np.maximum(square, 0.0)), 1e-6 * scale.max(initial=0.0)
    inverse = np.where(left > least, 1 / np.maximum(left, least), 0.0)
    positions = (used @ vectors - np.outer(along, centre @ vectors)) * inverse[:, None]
    length = np.linalg.norm(positions, axis=1, keepdims=True)
    right = np.where(length > 1e-9, positions / np.maximum(length, 1e-9), 0.0) * bound
    return OuterParts(sparse.csr_matrix(weighed.multiply(inverse[:, None])), along * inverse, heavy, right)


def in_training(canaries: Canaries, length: int, bound: float, round_number: int) -> sparse.csr_matrix:
    """The canary's direction with this round's sign, at the bound; [m, length]."""
    directions = canaries.directions(length).multiply(bound * canaries.signs(round_number)[:, None])
    return sparse.csr_matrix(directions)
