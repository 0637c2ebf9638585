"""The device's half of the one-shot queries: what its users add to popularity and co-occurrence.

Each user's part is bounded here; the sums, their bounds and what the server makes of them are in ``aggregation``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.training.population import Population


def popularity(population: Population, catalogue: int, bound: float) -> NDArray[np.float64]:
    """Sum over users of x / sqrt(|x|), each clipped to ``bound`` (a user's norm is 1). Shape [catalogue]."""
    owners, counts = population.owners, population.counts
    weights = min(1.0, bound) / np.sqrt(np.maximum(counts, 1))[owners]
    # Of an empty population numpy would make whole numbers, whatever the type of the weights.
    return np.bincount(population.items, weights=weights, minlength=catalogue).astype(np.float64)


def cooccurrence(
    population: Population, items: NDArray[np.int64], catalogue: int, *, normalise: float, bound: float
) -> NDArray[np.float64]:
    """Sum over users of the upper triangle of x x^T / |x|^normalise over ``items`` [K], each clipped to ``bound``.

    Returns:
        [K (K + 1) / 2], row by row.  One sparse product for any number of users.
    """
    column = np.full(catalogue, -1, dtype=np.int64)
    column[items] = np.arange(len(items))
    places = column[population.items]
    taking = places >= 0
    owners = population.owners[taking]
    counts = np.bincount(owners, minlength=len(population)).astype(np.float64)
    size = np.maximum(counts, 1.0)
    norms = np.sqrt(size * (size + 1) / 2) / size**normalise
    scale = np.minimum(1.0, bound / norms) / size**normalise
    used = sparse.csr_matrix(
        (np.sqrt(scale[owners]), (owners, places[taking])), shape=(len(population), len(items)), dtype=np.float64
    )
    gram = (used.T @ used).toarray()
    return np.asarray(gram[np.triu_indices(len(items))])
