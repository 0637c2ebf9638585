"""The last step before a contribution is encoded: whatever came out, it is one that the sum takes."""

from __future__ import annotations

import numpy as np

from fedrec.queries.device.encoder import Floats
from fedrec.queries.private_sum import PrivateSum


def bounded(agreed: PrivateSum, vector: Floats, rows: int) -> Floats:
    """A contribution of ``rows`` rows, scaled down to the sum's bound; zeros where it is not finite.

    Encoders bound each row, so this changes what rounding added.  It is here because `PrivateSum.encode` refuses what
    is beyond the bound, and an answer that is refused says something of the store.

    Args:
        agreed: the sum.
        vector: float64 [agreed.length].
        rows: how many rows it is of, at most ``agreed.rows``.

    Returns:
        float64 [agreed.length], of L2 norm ``rows * agreed.bound`` at most, and without a rotation each element at
        most ``rows * agreed.element_bound``, both up to float64 rounding.
    """
    most = agreed.bound * rows
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm):
        return np.zeros(agreed.length)
    held = vector * (most / norm) if norm > most else vector
    if agreed.rotation:
        return held
    limit = agreed.element_bound * rows
    return np.clip(held, -limit, limit)
