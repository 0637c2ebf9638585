"""A step of private power iteration on the device: what the queries ``directions`` and ``factors`` add."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.collaborative.power_iteration import ProjectionDirections
from fedrec.errors import ProtocolError
from fedrec.queries.device.encoder import Floats
from fedrec.queries.device.public_check import check_array
from fedrec.queries.request import Request
from fedrec.users import UserBatch

_MOST_WEIGHT = 100
# A direction is as long as its say: its share of the largest eigenvalue, 1e-18 at least, to the power of minus
# `whitening`. All is reckoned in float64, which such numbers do not overflow.
_LONGEST = 1e20
# Below this part of the centre's squared length, what is left of a difference of two sums is mostly rounding.
_CANCELLED = 1e-3
# A history that is nearer to the centre than this, beside the largest weight, says nothing. Rounding, of 1e-16 beside
# the history, is then below 1e-10 of what is left.
_NEAREST = 1e-5


def directions_of(request: Request, catalogue: int) -> ProjectionDirections:
    """What a request projects on, in float64.

    Raises:
        ProtocolError: it is not over this catalogue, not finite or of absurd length, or weights items by 0 or less, or
            by more than 100.
    """
    centre, vectors = request.arrays["centre"], request.arrays["vectors"]
    if centre.shape != (catalogue,) or vectors.ndim != 2 or len(vectors) != catalogue:
        raise ProtocolError("directions are not over this catalogue", value=(centre.shape, vectors.shape))
    asked = ProjectionDirections.from_arrays(request.arrays)
    check_array("centre", asked.centre)
    check_array("directions", asked.vectors, largest=_LONGEST, norm=_LONGEST)
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
    by_rating: NDArray[np.float64] | None = None,
) -> Floats:
    """Sum over users of x' y'^T, each of L2 norm ``bound`` or zero, up to 1e-9; float64 [catalogue * r], row by row.

    A user's history x / sqrt(|x|), less its part along ``centre`` [catalogue], times ``weights`` [catalogue] item by
    item (None = 1), is brought to length 1: x'.  Its position y is vectors^T of the same without weights, ``vectors``
    being [catalogue, r], and is brought to length 1: y'.  A user without history, (nearly) at the centre, or at right
    angles to all directions, adds zero; so does one for whom a number is not finite.  ``by_rating``: above 0, one an
    entry of the histories; x then holds these in place of ones, over the root of the sum of their squares.
    """
    scale = np.ones(len(centre)) if weights is None else weights
    used = _used(population, len(centre), by_rating)
    owners = np.repeat(np.arange(len(population)), np.diff(used.indptr))
    met = centre[used.indices] * used.data
    along: Floats = np.bincount(owners, weights=met, minlength=len(population)).astype(np.float64)
    left = _left(used, owners, along, centre, scale)
    kept = (left > _NEAREST * float(scale.max(initial=0.0))) & np.isfinite(left)
    inverse = np.where(kept, 1.0 / np.where(kept, left, 1.0), 0.0)
    used.data *= inverse[owners]
    positions = used @ vectors - np.outer(inverse * along, centre @ vectors)
    length = np.linalg.norm(positions, axis=1, keepdims=True)
    told = (length > 1e-9) & np.isfinite(length)
    positions = np.where(told, positions / np.where(told, length, 1.0), 0.0) * bound
    total = used.T @ positions - np.outer(centre, (inverse * along) @ positions)
    return np.asarray(total * scale[:, None], dtype=np.float64).reshape(-1)


def _used(population: UserBatch, catalogue: int, by_rating: NDArray[np.float64] | None) -> sparse.csr_matrix:
    """Histories x / sqrt(|x|), float64 [users, catalogue]; an item that comes twice is one entry."""
    owners, items = population.histories.owners, population.histories.items
    if by_rating is None:
        parts = 1.0 / np.sqrt(np.maximum(population.histories.lengths, 1))[owners]
    else:
        squares = np.bincount(owners, weights=by_rating**2, minlength=len(population))
        parts = by_rating / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))[owners]
    used = sparse.csr_matrix((parts, (owners, items)), shape=(len(population), catalogue), dtype=np.float64)
    used.sum_duplicates()
    return used


def _left(
    used: sparse.csr_matrix,
    owners: NDArray[np.int64],
    along: NDArray[np.float64],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The L2 length of each history less its part along the centre, times the weights; float64 [users].

    The square as a sum of squares only: of what is left at each item of the history, and of the centre elsewhere.
    Multiplied out it is a difference, of which rounding leaves nothing true for a history near the centre, and the
    centre comes from the server.
    """
    residual = scale[used.indices] * (used.data - centre[used.indices] * along[owners])
    inside = np.bincount(owners, weights=residual**2, minlength=len(along))
    return np.asarray(np.sqrt(inside + along**2 * _elsewhere(used, owners, (scale * centre) ** 2)))


def _elsewhere(used: sparse.csr_matrix, owners: NDArray[np.int64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum of ``squares`` [catalogue] over the items that are not in each history; float64 [users]."""
    whole = float(squares.sum())
    inside = np.bincount(owners, weights=squares[used.indices], minlength=used.shape[0])
    found: Floats = (whole - inside).astype(np.float64)
    for user in np.flatnonzero(~(found > _CANCELLED * whole)):
        others = squares.copy()
        others[used.indices[used.indptr[user] : used.indptr[user + 1]]] = 0.0
        found[user] = others.sum()
    return found
