"""Item factors among which a device places its user: the leading directions of the co-occurrence, known to the server.

The users' co-occurrence G, with its noise and its prior, is what the sums say of the items.  Its factors are the
leading eigenvectors of M^-a G M^-a, M being the items' mass: undivided, they would tell apart little but the most
popular items.  A direction of eigenvalue g speaks as g^power.  They take the place of factors that iALS (Hu et al.
2008, section 4) would train in many rounds over devices, and cost no request and no budget: they are made of opened
sums alone (Dwork and Roth 2014, Proposition 2.1).  What iALS does for each user, `fedrec.ranking.fold_in` does on the
device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from fedrec.config import FoldInSettings

Floats = NDArray[np.float64]
_LEAST_EIGENVALUE = 1e-9


def from_matrix(matrix: Floats, mass: Floats, settings: FoldInSettings) -> NDArray[np.float32]:
    """Of a co-occurrence [items, items], symmetric, and the items' mass [items], above 0: float32 [items, k].

    k is ``settings.rank``, or as many as there are. The mean squared length of an item is 1.
    """
    scale = mass**-settings.flattening
    count = len(matrix)
    first = max(0, count - settings.rank)
    values, vectors = eigh(scale[:, None] * matrix * scale[None, :], subset_by_index=[first, count - 1])
    return _factors(values, vectors, settings)


def from_factors(spanning: Floats, mass: Floats, settings: FoldInSettings) -> NDArray[np.float32]:
    """The same of a co-occurrence spanning spanning^T, [items, w], without ever writing it down."""
    left, singular, _ = np.linalg.svd(mass[:, None] ** -settings.flattening * spanning, full_matrices=False)
    return _factors(singular[::-1] ** 2, left[:, ::-1], settings)


def _factors(values: Floats, vectors: Floats, settings: FoldInSettings) -> NDArray[np.float32]:
    """``values``: ascending."""
    kept = np.flatnonzero(values > _LEAST_EIGENVALUE * max(float(values.max(initial=0.0)), 1e-300))[::-1]
    kept = kept[: settings.rank]
    table = vectors[:, kept] * (values[kept] / values[kept].max(initial=1e-300)) ** settings.power
    size = float((table**2).sum())
    return np.asarray(table * np.sqrt(len(table) / size) if size > 0 else table, dtype=np.float32)
