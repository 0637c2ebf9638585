"""Tables of many items and few columns: what is made of them in blocks of items, without a second table of their size.

The leading directions of a table X [items, k] are those of its Gram matrix X^T X [k, k], in float64: two passes over
the items instead of the decomposition of a long matrix.  Singular values are then known to about 1e-8 of the largest
(Golub and Van Loan 2013, section 8.6.3), so smaller ones count as zero; whoever needs them may not come here.  Time
grows as items times k squared, memory beside the table itself not at all with items.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ModelError

Floats = NDArray[np.float64]
TallTable = NDArray[np.floating[Any]]

MOST_SQUARE_ITEMS: Final = 20_000
"""A matrix of items by items is made up to this many items only: 3.2 GB in float64."""
_BLOCK: Final = 4_096
# Below this part of the largest singular value, one that was found from a Gram matrix is rounding.
_LEAST: Final = 1e-7


def may_be_square(items: int) -> bool:
    """Whether a matrix of items by items may be made of so many."""
    return items <= MOST_SQUARE_ITEMS


def refuse_square(items: int, what: str, *, action: str) -> None:
    """Refuse to make a matrix of items by items of a catalogue of more than `MOST_SQUARE_ITEMS`.

    Raises:
        ModelError: it is larger. ``what`` would be made; ``action`` says which settings make do without.
    """
    if not may_be_square(items):
        raise ModelError(
            f"{what} would be a matrix of items by items, which is made up to {MOST_SQUARE_ITEMS:,} items only",
            value=items,
            action=action,
        )


def stored_as(items: int) -> type[np.float64] | type[np.float32]:
    """How a table [items, k] is kept: in float64, or in float32 where the catalogue is so large that memory counts."""
    return np.float64 if may_be_square(items) else np.float32


def blocks(items: int, size: int = _BLOCK) -> Iterator[slice]:
    """All items, ``size`` at a time."""
    for start in range(0, items, size):
        yield slice(start, min(start + size, items))


def gram(table: TallTable, other: TallTable | None = None, weights: Floats | None = None) -> Floats:
    """table^T diag(weights) other, float64 [k, l], of tables [items, k] and [items, l]; ``other``: the table itself.

    ``weights``: [items], 0 or above; None = 1.
    """
    second = table if other is None else other
    total = np.zeros((table.shape[1], second.shape[1]))
    root = None if weights is None else np.sqrt(weights)[:, None]
    for part in blocks(len(table)):
        left = _weighed(table[part], None if root is None else root[part])
        # Of a matrix and its own transpose BLAS makes half.
        right = left if other is None else _weighed(other[part], None if root is None else root[part])
        total += left.T @ right
    return total


def times(table: TallTable, small: Floats, scale: Floats | None = None) -> TallTable:
    """scale[:, None] * (table @ small), [items, l], of the table's type; ``scale``: [items], None = 1."""
    made = np.empty((len(table), small.shape[1]), dtype=table.dtype)
    for part in blocks(len(table)):
        product = table[part].astype(np.float64, copy=False) @ small
        made[part] = product if scale is None else product * scale[part, None]
    return made


def squared_lengths(table: TallTable) -> Floats:
    """The squared length of each row, float64 [items]."""
    return np.asarray(np.einsum("ij,ij->i", table, table, dtype=np.float64))


def directions_of(together: Floats, rank: int = 0) -> tuple[Floats, Floats]:
    """Right singular vectors [k, r] and values [r] of a table with this Gram matrix, largest first.

    ``rank``: r at most (0 = all).  Values below 1e-7 of the largest are left out, so fewer may come back.
    """
    values, vectors = np.linalg.eigh((together + together.T) / 2)
    singular, vectors = np.sqrt(np.maximum(values[::-1], 0.0)), vectors[:, ::-1]
    kept = singular > _LEAST * singular.max(initial=0.0)
    if rank:
        kept[rank:] = False
    return vectors[:, kept], singular[kept]


def _weighed(rows: TallTable, root: Floats | None) -> Floats:
    told = rows.astype(np.float64, copy=False)
    return np.asarray(told if root is None else told * root)
