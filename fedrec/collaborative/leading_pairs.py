"""The leading eigenpairs of a symmetric matrix, without decomposing all of it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Floats = NDArray[np.float64]

EXACT: Final = 1_024
"""Up to this many rows the matrix is decomposed, which takes the cube of their number."""
BESIDE: Final = 100
STEPS: Final = 3
_SEED: Final = 20_240_229


def leading_pairs(matrix: NDArray[np.floating[Any]], rank: int, *, steps: int = STEPS) -> tuple[Floats, Floats]:
    """Eigenvectors [n, r] and the largest eigenvalues [r], descending, r being ``rank`` or as many as there are.

    Exact up to `EXACT` rows, or where nearly all are asked for.  Beyond, by subspace iteration from a random start,
    fixed once and for all (Halko, Martinsson and Tropp 2011, algorithms 4.4 and 5.3), in the matrix' own precision:
    ``steps`` + 1 products with the matrix, and `BESIDE` columns more than are kept.  Eigenvalues that are large and
    negative may take the place of small ones above 0.
    """
    count = len(matrix)
    if count <= EXACT or 3 * (rank + BESIDE) > count:
        values, vectors = eigh(matrix, subset_by_index=[max(0, count - rank), count - 1])
        return vectors[:, ::-1].astype(np.float64), values[::-1].astype(np.float64)
    turn: NDArray[np.floating[Any]] = np.random.default_rng(_SEED).standard_normal((count, rank + BESIDE))
    turn = turn.astype(matrix.dtype)
    for _ in range(steps):
        turn = np.linalg.qr(matrix @ turn)[0]
    inner = turn.T.astype(np.float64) @ (matrix @ turn)
    values, vectors = np.linalg.eigh((inner + inner.T) / 2)
    return turn @ vectors[:, ::-1][:, :rank], values[::-1][:rank]
