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

from fedrec.collaborative.leading_pairs import leading_pairs
from fedrec.collaborative.tall import TallTable, directions_of, gram, squared_lengths, times
from fedrec.config import FoldInSettings

Floats = NDArray[np.float64]
_LEAST_EIGENVALUE = 1e-9
# Of subspace iteration: the last directions that are kept count as much as those before them.
_STEPS = 8


def from_matrix(matrix: Floats, mass: Floats, settings: FoldInSettings) -> NDArray[np.float32]:
    """Of a co-occurrence [items, items], symmetric, and the items' mass [items], above 0: float32 [items, k].

    k is ``settings.rank``, or as many as there are. The mean squared length of an item is 1.
    """
    scale = mass**-settings.flattening
    vectors, values = leading_pairs(scale[:, None] * matrix * scale[None, :], settings.rank, steps=_STEPS)
    kept = values > _LEAST_EIGENVALUE * max(float(values.max(initial=0.0)), 1e-300)
    say = (values[kept] / values[kept].max(initial=1e-300)) ** settings.power
    return _sized(vectors[:, kept] * say)


def from_factors(spanning: TallTable, mass: Floats, settings: FoldInSettings) -> NDArray[np.float32]:
    """The same of a co-occurrence spanning spanning^T, [items, w], without ever writing it down."""
    scale = mass**-settings.flattening
    vectors, singular = directions_of(gram(spanning, weights=scale**2), settings.rank)
    kept = singular**2 > _LEAST_EIGENVALUE * max(float(singular.max(initial=0.0)) ** 2, 1e-300)
    vectors, values = vectors[:, kept], singular[kept] ** 2
    say = (values / values.max(initial=1e-300)) ** settings.power
    return _sized(times(spanning, vectors * (say / np.sqrt(values)), scale))


def _sized(table: TallTable) -> NDArray[np.float32]:
    size = float(squared_lengths(table).sum())
    return (table * np.sqrt(len(table) / size) if size > 0 else table).astype(np.float32)
