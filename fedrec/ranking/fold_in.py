"""A user's place among item factors, found on the device: the fold-in of iALS.

The vector p of a user with the items J, v_i being the items' factors, minimises

    sum_{j in J} c_j (1 - p.v_j)^2 + u sum_i (p.v_i)^2 + ridge (sum_j c_j + u items) |p|^2

(Hu et al. 2008, section 4; the ridge grows with what is known, as in Rendle et al. 2022, "Revisiting the Performance of
iALS on Item Recommendation Benchmarks", section 3.1), and an item's score is p.v_i.  c_j is 1, or less the older
the event is.  Unlike a sum over the user's items it weighs them against each other: two films that say the same say it
once, and what the user passed by counts.  All of it stays on the device.

Users with about as many items are solved for together: one batched product and one batched solution, without a loop
over users; only systems that are large enough to outweigh a loop are solved one after the other, by Cholesky's method.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_matrix

if TYPE_CHECKING:
    from fedrec.config import FoldInSettings


Floats = NDArray[np.float64]
Floats32 = NDArray[np.float32]
_ITEM_BLOCK: Final = 65_536
# Numbers of gathered factors at once, 8 MB: they stay in a processor's cache, or near it.
_GATHERED: Final = 1 << 20
# A user with more items than this is placed alone, its factors being read in blocks of as many.
_LONG: Final = 16_384
# From so many equations on, Cholesky's method in a loop is quicker than a batch of Gauss' method.
_BATCHED: Final = 48


class FoldIn:
    """Item factors [items, k] made ready: turned so that their products' sum is diagonal, which changes no score.

    Memory: the turned factors in float32, 4 bytes an item and factor, and blocks of fixed size.
    """

    def __init__(self, factors: Floats32, settings: FoldInSettings) -> None:
        blocks = [factors[start : start + _ITEM_BLOCK] for start in range(0, len(factors), _ITEM_BLOCK)]
        width = factors.shape[1]
        together = np.zeros((width, width))
        for block in blocks:
            told = block.astype(np.float64)
            together += told.T @ told
        self.settings = settings
        self.spread, turn = np.linalg.eigh(together)
        self.factors: Floats32 = np.empty(factors.shape, dtype=np.float32)
        for start, block in zip(range(0, len(factors), _ITEM_BLOCK), blocks, strict=True):
            self.factors[start : start + len(block)] = block.astype(np.float64) @ turn

    def scores(self, touched: csr_matrix) -> Floats32:
        """Scores float32 [users, items] of users by what they touched, [users, items] with c_j; 0 for nobody known.

        So is one whose equations have no solution in float64.
        """
        with np.errstate(all="ignore"):
            users = self.places(touched).astype(np.float32)
        users[~np.isfinite(users).all(axis=1)] = 0.0
        return np.asarray(users @ self.factors.T, dtype=np.float32)

    def places(self, touched: csr_matrix) -> Floats:
        """p of each user, float64 [users, k]; zeros for nobody known, and where there is no solution in float64."""
        found = np.zeros((touched.shape[0], self.factors.shape[1]))
        for users, items, counts in self._alike(touched):
            with np.errstate(all="ignore"):
                if items.shape[1] > _LONG:
                    placed = self._placed_by_blocks(items[0], counts[0])[None]
                else:
                    placed = self._placed(self.factors[items].astype(np.float64), counts)
            # Nobody's ranking fails on a history.
            placed[~np.isfinite(placed).all(axis=1)] = 0.0
            found[users] = placed
        return found

    def _alike(self, touched: csr_matrix) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], Floats]]:
        """Users with about as many items: their places [n], items [n, most] and c_j [n, most], 0 for padding."""
        lengths = np.diff(touched.indptr)
        padded = _padded(lengths)
        order = np.argsort(padded, kind="stable")
        for length in np.unique(padded[padded > 0]):
            alike = order[np.searchsorted(padded[order], length) :][: int((padded == length).sum())]
            gathered = int(length) * max(1, self.factors.shape[1])
            step = 1 if length > _LONG else max(1, _GATHERED // gathered)
            for start in range(0, len(alike), step):
                users = alike[start : start + step]
                real = np.arange(length) < lengths[users, None]
                entries = np.where(real, touched.indptr[users, None] + np.arange(length), 0)
                yield users, touched.indices[entries], np.where(real, touched.data[entries], 0.0)

    def _placed_by_blocks(self, items: NDArray[np.int64], counts: Floats) -> Floats:
        """p [k] of one user with so many items [n] that their factors are read in blocks."""
        diagonal = self._diagonal(counts[None])[0]
        together, wanted = np.zeros((len(diagonal), len(diagonal))), np.zeros(len(diagonal))
        for start in range(0, len(items), _LONG):
            own, weights = self.factors[items[start : start + _LONG]].astype(np.float64), counts[start : start + _LONG]
            wanted += weights @ own
            own *= np.sqrt(weights)[:, None]
            together += own.T @ own
        return np.asarray(_solved(together[None], diagonal[None], wanted[None])[0])

    def _diagonal(self, counts: Floats) -> Floats:
        """What every user's equations have on their diagonal, [n, k], for counts [n, items of each]."""
        known = counts.sum(axis=1) + self.settings.unknown * len(self.factors)
        return np.asarray(self.settings.unknown * self.spread + self.settings.ridge * known[:, None])

    def _placed(self, own: Floats, counts: Floats) -> Floats:
        """p [n, k] of users with the item factors ``own`` [n, most, k] that count ``counts`` [n, most]: by k or by
        ``most`` equations, whichever are fewer."""
        diagonal = self._diagonal(counts)
        root = np.sqrt(counts)[:, :, None]
        if own.shape[1] >= own.shape[2]:
            wanted = (counts[:, None] @ own)[:, 0]
            own *= root
            return _solved(own.transpose(0, 2, 1) @ own, diagonal, wanted)
        # (D + A^T A)^-1 A^T w = D^-1 A^T (1 + A D^-1 A^T)^-1 w with the rows of A sqrt(c_j) v_j, and w_j = sqrt(c_j).
        own *= root
        own /= np.sqrt(diagonal)[:, None]
        weights = _solved(own @ own.transpose(0, 2, 1), np.ones(counts.shape), root[:, :, 0])
        return np.asarray((weights[:, None] @ own)[:, 0] / np.sqrt(diagonal))


def _padded(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Lengths rounded up, by an eighth at most, so that few differ; 0 stays 0."""
    step = 2 ** np.maximum(np.floor(np.log2(np.maximum(lengths, 1))).astype(np.int64) - 3, 0)
    return np.asarray(-(-lengths // step) * step, dtype=np.int64)


def _solved(together: Floats, diagonal: Floats, wanted: Floats) -> Floats:
    """Solutions [n, m] of (together + diag(diagonal)) x = wanted for each of n, symmetric and positive; ``together`` is
    overwritten.  Not a number where there is no solution in numbers."""
    places = np.arange(together.shape[1])
    together[:, places, places] += diagonal
    if together.shape[1] < _BATCHED:
        try:
            return np.asarray(np.linalg.solve(together, wanted[:, :, None])[:, :, 0])
        except np.linalg.LinAlgError:
            pass  # of a batch one may be singular: each by itself
    found = np.full(wanted.shape, np.nan)
    for place, (matrix, right) in enumerate(zip(together, wanted, strict=True)):
        # LAPACK reads columns first, so of a matrix in rows "lower" is what is above the diagonal: either is here.
        _, solution, failed = dposv(matrix.T, right, lower=1, overwrite_a=1)
        if not failed:
            found[place] = solution
    return found
