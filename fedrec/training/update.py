"""What training makes of rows: a clipped gradient sum. Without torch, so that whoever only adds up need not load it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Update:
    """A clipped gradient sum [P] over ``rows`` rows. ``loss`` and ``clipped`` (how many rows were) stay here."""

    gradient: NDArray[np.float64]
    rows: int
    loss: float
    clipped: int
