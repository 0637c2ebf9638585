"""Graphs over the items, and features smoothed on them, without a parameter: the propagation of LightGCN.

LightGCN (He et al. 2020, section 3.1) replaces a graph convolution by its neighbourhood average alone,
E^(l+1) = D^-1/2 A D^-1/2 E^(l), and reads the mean of all layers, E^(0) to E^(L).  Here E^(0) is an item's features of
one modality; what is learned comes after.  Edges go from each item to its nearest others, by public content or by a
table made of sums that were noised before: either way smoothing is post-processing and costs no privacy.

In the graph of users and items two steps lead from an item over its users to other items, which is the co-occurrence
graph; and one step from items to a user is the mean of the user's items, which is the user tower's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
_BLOCK = 512
# Cosines that differ by less are a tie, which the earlier place wins, so that two machines find the same neighbours.
_TIE_DIGITS = 6


def ready(values: NDArray[Any]) -> bool:
    """Whether these are feature vectors [items, width]; token ids and pixels are nothing to average."""
    return values.ndim == 2 and bool(np.issubdtype(values.dtype, np.floating))


def stacked_columns(values: Mapping[str, NDArray[Any]], present: Mapping[str, NDArray[np.bool_]]) -> Floats:
    """One vector an item whose products are the sums of its modalities' cosines, [items, all widths that are ready].

    A missing modality adds nothing.
    """
    count = len(next(iter(present.values()), ()))
    parts = [_unit(_real(values[name], present[name])) for name in values if ready(values[name])]
    return np.concatenate([np.zeros((count, 0)), *parts], axis=1)


def nearest(vectors: Floats, count: int) -> NDArray[np.int32]:
    """Each item's ``count`` nearest others by cosine, best first: int32 [items, count], -1 where there are no more.

    Only a cosine above 0 makes a neighbour; the zero vector has none and is none's.
    """
    unit = _unit(vectors)
    found = np.full((len(unit), count), -1, np.int32)
    kept = min(count, max(0, len(unit) - 1))
    if not unit.any():
        return found
    for start in range(0, len(unit), _BLOCK):
        cosines = np.round(unit[start : start + _BLOCK] @ unit.T, _TIE_DIGITS)
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        places = np.argsort(-cosines, axis=1, kind="stable")[:, :kept]
        close = np.take_along_axis(cosines, places, axis=1) > 0
        found[start : start + _BLOCK, :kept] = np.where(close, places, -1)
    return found


def adjacency(lists: Sequence[NDArray[np.integer]], items: int) -> sparse.csr_matrix:
    """The graph of the neighbours in all lists, each [items, count] with -1 for none: float64 [items, items].

    An edge runs both ways, whoever drew it, and weighs 1 for each list that has it.
    """
    total = sparse.csr_matrix((items, items), dtype=np.float64)
    for neighbours in lists:
        drawn = neighbours >= 0
        owners = np.broadcast_to(np.arange(items)[:, None], neighbours.shape)[drawn]
        edges = sparse.csr_matrix((np.ones(len(owners)), (owners, neighbours[drawn])), shape=(items, items))
        total = total + edges.maximum(edges.T)
    return total.tocsr()


def smoothed(
    values: NDArray[Any], present: NDArray[np.bool_], graph: sparse.csr_matrix, layers: int
) -> NDArray[np.float32]:
    """Features after ``layers`` steps of propagation, float32 [items, width], on the scale of the item's own.

    Items without this modality take no part: they stay missing, and say nothing to their neighbours.
    """
    real = _real(values, present)
    length = np.linalg.norm(real, axis=1, keepdims=True)
    there = sparse.diags(present.astype(np.float64))
    edges = there @ graph @ there
    degree = np.asarray(edges.sum(axis=1)).ravel()
    root = sparse.diags(np.where(degree > 0, 1.0 / np.sqrt(np.maximum(degree, 1e-12)), 0.0))
    step = root @ edges @ root
    layer = _unit(real)
    total = layer.copy()
    for _ in range(layers):
        layer = step @ layer
        total += layer
    return np.asarray(total / (layers + 1) * length, dtype=np.float32)


def _real(values: NDArray[Any], present: NDArray[np.bool_]) -> Floats:
    return np.where(present[:, None], values, 0).astype(np.float64)


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0))
