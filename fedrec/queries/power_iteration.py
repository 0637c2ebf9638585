"""What the queries ``directions`` and ``factors`` share: the sum of projected histories, and what a device accepts."""

from __future__ import annotations

from typing import Final

import numpy as np

from fedrec.config import Config
from fedrec.errors import ProtocolError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.query import vector_of
from fedrec.queries.request import Broadcast, Request
from fedrec.randomness import key

BOUND: Final = 1.0
MOST_DIRECTIONS: Final = 512


def projected_sum(config: Config, name: str, length: int, rows: int) -> PrivateSum:
    """A sum of ``length`` elements to which each user adds a part of L2 norm 1."""
    settings = config.secure_aggregation
    if not settings.rotate:
        return PrivateSum.of(name, length, BOUND, rows, resolution_bits=settings.resolution_bits)
    return PrivateSum.rotated(
        name,
        length,
        BOUND,
        rows,
        seed=key(config.run.seed, "rotation", name),
        expected=rows,
        resolution_bits=settings.resolution_bits,
    )


def accepted_directions(config: Config, request: Request, items: int) -> Broadcast:
    """The centre, the directions and, where the settings weight items, the weights: over this catalogue, in float32.

    Raises:
        ProtocolError: another shape or type, or more than 512 directions. What they hold, the encoder checks.
    """
    arrays = {"centre": vector_of(request, "centre")}
    vectors = request.arrays.get("vectors")
    if vectors is None or vectors.ndim != 2 or len(vectors) != items or not 1 <= vectors.shape[1] <= MOST_DIRECTIONS:
        raise ProtocolError("directions are not over this catalogue", value=None if vectors is None else vectors.shape)
    arrays["vectors"] = vectors
    if config.collaborative.power_iteration.item_weighting > 0:
        arrays["weights"] = vector_of(request, "weights")
    if any(array.dtype != np.float32 for array in arrays.values()):
        raise ProtocolError("directions are not float32", value={name: str(a.dtype) for name, a in arrays.items()})
    return Broadcast(arrays)
