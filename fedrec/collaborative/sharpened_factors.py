"""The sharpened content kernel as factors [items, rank]: its leading directions, found without its decomposition.

Up to `LANDMARKS` items the kernel is made, in float32 beyond `EXACT` items, and its leading directions are found by
subspace iteration (`fedrec.collaborative.leading_pairs`).  Of 3,706 films and rank 400 the result leaves out .02884 of
the kernel (Frobenius), the best of that rank .02858.

Of a larger catalogue as many items, drawn once and for all, are landmarks, and other items are placed by how alike
they are to these: Nystroem's method (Williams and Seeger 2001, section 2), K(:, L) U S^-1/2 with the leading U, S of
K(L, L).
Time and memory then grow as items, not as their square.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.leading_pairs import EXACT, leading_pairs
from fedrec.collaborative.tall import TallTable, blocks, stored_as

Floats = NDArray[np.float64]

LANDMARKS: Final = 4_096
"""Items whose likenesses are all reckoned; of a larger catalogue, those that others are placed by."""
_BLOCK: Final = 1_024
# Eigenvalues of float32 products below this part of the largest are rounding.
_LEAST: Final = 1e-6
_SEED: Final = 20_240_229


def sharpened_factors(vectors: TallTable, sharpness: float, rank: int) -> TallTable:
    """Factors [items, at most rank] of exp(sharpness (C - 1)), C being the cosines of ``vectors`` [items, w].

    A zero vector is like none, not like itself: its row is zeros.  Float64 up to 20,000 items, float32 beyond.
    """
    items = len(vectors)
    if items <= EXACT:
        unit = unit_rows(vectors)
        directions, values = leading_pairs(likeness(unit, unit, sharpness), rank)
        return np.asarray(directions * np.sqrt(np.maximum(values, 0.0)))
    if items <= LANDMARKS:
        return _leading(unit_rows(vectors).astype(np.float32), sharpness, rank)
    drawn = np.sort(np.random.default_rng(_SEED).choice(items, LANDMARKS, replace=False))
    landmarks = unit_rows(vectors[drawn]).astype(np.float32)
    known = _leading(landmarks, sharpness, rank)
    # known = U S^1/2, so that known S^-1 = U S^-1/2.
    placing = (known / (known**2).sum(axis=0)).astype(np.float32)
    made = np.empty((items, placing.shape[1]), dtype=stored_as(items))
    for part in blocks(items, _BLOCK):
        made[part] = likeness(unit_rows(vectors[part]).astype(np.float32), landmarks, sharpness) @ placing
    return made


def likeness(one: TallTable, other: TallTable, sharpness: float) -> TallTable:
    """exp(sharpness (cosine - 1)) of unit vectors [n, w] and [m, w], [n, m]; 0 where either is zero."""
    alike = one @ other.T
    alike -= 1.0
    alike *= sharpness
    np.exp(alike, out=alike)
    alike[~one.any(axis=1)] = 0.0
    alike[:, ~other.any(axis=1)] = 0.0
    return alike


def unit_rows(vectors: TallTable) -> Floats:
    """Vectors brought to length 1; those of (nearly) no length are zero."""
    told = vectors.astype(np.float64, copy=False)
    lengths = np.linalg.norm(told, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, told / np.maximum(lengths, 1e-9), 0.0)


def _leading(unit: NDArray[np.float32], sharpness: float, rank: int) -> Floats:
    """Factors [n, at most rank] of the kernel of unit vectors [n, w]: orthogonal columns, the strongest first."""
    vectors, values = leading_pairs(likeness(unit, unit, sharpness), rank)
    kept = values > _LEAST * max(float(values.max(initial=0.0)), 1e-300)
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))
