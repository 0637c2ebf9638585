"""The device's half of the one-shot queries: what its users add to popularity and co-occurrence.

Each user's part is bounded here; the sums, their bounds and what the server makes of them are in ``aggregation``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.data.users import UserBatch


def popularity(population: UserBatch, catalogue: int, bound: float, ramp: int = 0) -> NDArray[np.float64]:
    """Sum over users of x / sqrt(max(|x|, ramp)), of norm 1 at most, clipped to ``bound``. Shape [catalogue]."""
    owners, counts = population.histories.owners, population.histories.lengths
    weights = min(1.0, bound) / np.sqrt(np.maximum(counts, max(ramp, 1)))[owners]
    # Of an empty population numpy would make whole numbers, whatever the type of the weights.
    return np.bincount(population.histories.items, weights=weights, minlength=catalogue).astype(np.float64)


def cooccurrence(
    population: UserBatch, items: NDArray[np.int64], catalogue: int, *, normalise: float, bound: float, ramp: int = 0
) -> NDArray[np.float64]:
    """Sum over users of the upper triangle of x x^T / max(|x|, ramp)^normalise over ``items`` [K].

    Returns:
        [K (K + 1) / 2], row by row, each user's part clipped to ``bound``.  One sparse product for any number of users.
    """
    column = np.full(catalogue, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    places = column[population.histories.items]
    taking = places >= 0
    owners = population.histories.owners[taking]
    counts = np.bincount(owners, minlength=len(population)).astype(np.float64)
    size = np.maximum(counts, 1.0)
    divisor = np.maximum(size, ramp) ** normalise
    norms = np.sqrt(size * (size + 1) / 2) / divisor
    scale = np.minimum(1.0, bound / norms) / divisor
    used = sparse.csr_matrix(
        (np.sqrt(scale[owners]), (owners, places[taking])), shape=(len(population), len(items)), dtype=np.float64
    )
    gram = (used.T @ used).toarray()
    return np.asarray(gram[np.triu_indices(len(items))])


def factors(
    population: UserBatch,
    centre: NDArray[np.float64],
    vectors: NDArray[np.float64],
    bound: float,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Sum over users of x' y'^T, each of L2 norm ``bound`` or zero; float64 [catalogue * r], row by row.

    A user's history x / sqrt(|x|), less its part along ``centre`` [catalogue], times ``weights`` [catalogue] item by
    item (None = 1), is brought to length 1: x'.  Its position y is vectors^T of the same without weights, ``vectors``
    being [catalogue, r], and is brought to length 1: y'.  A user without history, or at right angles to all directions,
    adds zero.
    """
    scale = np.ones(len(centre)) if weights is None else weights
    owners, counts, items = population.histories.owners, population.histories.lengths, population.histories.items
    size = np.sqrt(np.maximum(counts, 1))
    along = np.bincount(owners, weights=centre[items], minlength=len(population)) / size
    own = np.bincount(owners, weights=scale[items] ** 2, minlength=len(population)) / size**2
    meets = np.bincount(owners, weights=(scale**2 * centre)[items], minlength=len(population)) / size
    # The centre comes from the server and may be of any length.
    square = own - 2 * along * meets + along**2 * float((scale * centre) @ (scale * centre))
    least = 1e-6 * float(scale.max(initial=0.0))
    left = np.sqrt(np.maximum(square, 0.0))
    inverse = np.where(left > least, 1.0 / np.maximum(left, least), 0.0)
    used = sparse.csr_matrix(
        ((inverse / size)[owners], (owners, items)), shape=(len(population), len(centre)), dtype=np.float64
    )
    positions = used @ vectors - np.outer(inverse * along, centre @ vectors)
    length = np.linalg.norm(positions, axis=1, keepdims=True)
    positions = np.where(length > 1e-9, positions / np.maximum(length, 1e-9), 0.0) * bound
    total = used.T @ positions - np.outer(centre, (inverse * along) @ positions)
    return np.asarray(total * scale[:, None], dtype=np.float64).reshape(-1)
