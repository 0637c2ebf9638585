"""Gram matrices of one table under weights that differ by axis, from one pass over its items.

In each axis a the items i of a table X [items, w] weigh 1 / (s_a m_i + n_i): the part of an axis and the noise that an
entry is made of.  That is (1 / n_i) f(q_i) with q_i = m_i / n_i and f(q) = 1 / (1 + s_a q), a smooth step in the
logarithm of q, whatever s_a is.  So f is interpolated there, by cubics between nodes that lie evenly (Lagrange; Stoer
and Bulirsch 2002, section 2.1): X^T diag(.) X is the sum over nodes k of f(q_k) H_k, where the H_k, X^T diag(l_k(q_i) /
n_i) X, are the same for all axes.  Time is items times 4 w^2, and then nodes times w^2 an axis, instead of items times
w^2 an axis and step.

With nodes `STEP` apart in the natural logarithm f is known to 1.2e-5, and to 1e-4 of itself where it is small: the
remainder of a cubic, 9/384 STEP^4 times the largest fourth derivative.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.tall import TallTable, blocks

Floats = NDArray[np.float64]
STEP: Final = 0.25
_POINTS: Final = 4
# Further apart than e^40, ratios count as if they were that far: an entry of such a part, or noise, is nothing.
_SPAN: Final = 40.0


class SharedGrams:
    """The sums of a table from which its Gram matrix under any weights of the kind is made.

    Args:
        table: [items, w], of one item at least.
        mass, noise: [items], above 0 each.
    """

    def __init__(self, table: TallTable, mass: Floats, noise: Floats) -> None:
        place = np.log(mass) - np.log(noise)
        top = float(place.max())
        place = np.maximum(place, top - _SPAN)
        least = float(place.min())
        cells = max(1, int(np.ceil((top - least) / STEP)))
        # One node beyond each end, since a cubic reads two on either side.
        self._ratios: Floats = np.exp(least + STEP * (np.arange(cells + 3) - 1.0))
        width = table.shape[1]
        self._sums: Floats = np.zeros((cells + 3, width, width))
        at = (place - least) / STEP
        cell = np.minimum(at.astype(np.int64), cells - 1)
        for here, items in _grouped(cell):
            for part in blocks(len(items)):
                some = items[part]
                rows = table[some]
                shares = _cubics(at[some] - here) / noise[some, None]
                weighed = rows[:, None, :] * shares.astype(rows.dtype)[:, :, None]
                found = rows.T @ weighed.reshape(len(rows), -1)
                self._sums[here : here + _POINTS] += found.reshape(width, _POINTS, width).transpose(1, 0, 2)

    def of(self, weight: Callable[[Floats], Floats]) -> Floats:
        """Gram matrices [axes, w, w], symmetric, under weights ``weight(q)`` / n.

        ``weight``: from ratios q = m / n [nodes, 1] to [nodes, axes], smooth in log q.
        """
        made = np.tensordot(weight(self._ratios[:, None]).T, self._sums, axes=1)
        return np.asarray((made + made.transpose(0, 2, 1)) / 2)


def _cubics(at: Floats) -> Floats:
    """Lagrange's weights [n, 4] of nodes at -1, 0, 1 and 2, for places [n] between 0 and 1."""
    before, after, far = at + 1.0, at - 1.0, at - 2.0
    return np.stack(
        [-at * after * far / 6, before * after * far / 2, -before * at * far / 2, before * at * after / 6], axis=1
    )


def _grouped(cell: NDArray[np.int64]) -> list[tuple[int, NDArray[np.int64]]]:
    """The places of each number that there is, rising."""
    order = np.argsort(cell, kind="stable")
    numbers, starts = np.unique(cell[order], return_index=True)
    return [(int(number), part) for number, part in zip(numbers, np.split(order, starts[1:]), strict=True)]
