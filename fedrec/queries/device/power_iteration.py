"""A step of private power iteration on the device: what the queries ``directions`` and ``factors`` add."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.errors import ProtocolError
from fedrec.queries.device.encoder import Floats
from fedrec.queries.request import Request
from fedrec.users import UserBatch

_MOST_WEIGHT = 100


def directions_of(request: Request, catalogue: int) -> ProjectionDirections:
    """What a request projects on, in float64.

    Raises:
        ProtocolError: it is not over this catalogue, not finite, or weights items by 0 or less, or by more than 100.
    """
    centre, vectors = request.arrays["centre"], request.arrays["vectors"]
    if centre.shape != (catalogue,) or vectors.ndim != 2 or len(vectors) != catalogue:
        raise ProtocolError("directions are not over this catalogue", value=(centre.shape, vectors.shape))
    asked = ProjectionDirections.from_arrays(request.arrays)
    if not (np.isfinite(asked.centre).all() and np.isfinite(asked.vectors).all()):
        raise ProtocolError("directions hold numbers that are not finite", value=request.query)
    weights = asked.weights
    if weights is not None and not (
        weights.shape == (catalogue,) and ((weights > 0) & (weights <= _MOST_WEIGHT)).all()
    ):
        raise ProtocolError("weights of items are above 0 and at most 100, one an item", value=request.query)
    return asked


def projected(
    population: UserBatch,
    centre: NDArray[np.float64],
    vectors: NDArray[np.float64],
    bound: float,
    weights: NDArray[np.float64] | None = None,
) -> Floats:
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
