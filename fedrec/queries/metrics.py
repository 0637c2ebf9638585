"""Query ``metrics``: how well the model ranks what devices held out, as a private sum of per-user metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request

# A user adds (HR@10, NDCG@10, 1), each in [0, 1].
NAMES = ("hr@10", "ndcg@10", "users")
BOUND = math.sqrt(len(NAMES))


def ask(round_number: int, arrays: Mapping[str, NDArray[Any]], rows: int, resolution_bits: int | None) -> Request:
    """The request. ``arrays`` is what devices score with: parameters, and where there are any
    the collaborative factors and the tables that extend the items' features."""
    agreed = PrivateSum.of("metrics", len(NAMES), BOUND, rows, resolution_bits=resolution_bits, limit=1.0)
    return Request("metrics", round_number, agreed, arrays=dict(arrays))


def read(opened: NDArray[np.float64]) -> dict[str, float | None]:
    """Mean HR@10 and NDCG@10, held inside [0, 1]; None where noise leaves no users to divide by."""
    users = float(opened[2])
    if users < 1:
        return {"hr@10": None, "ndcg@10": None}
    return {name: float(np.clip(opened[place] / users, 0, 1)) for place, name in enumerate(NAMES[:2])}
