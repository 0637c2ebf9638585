"""A user's place among item factors, found on the device: the fold-in of iALS.

The vector p of a user with the items J, v_i being the items' factors, minimises

    sum_{j in J} c_j (1 - p.v_j)^2 + u sum_i (p.v_i)^2 + ridge (sum_j c_j + u items) |p|^2

(Hu et al. 2008, section 4; the ridge grows with what is known, as in Rendle et al. 2022, "Revisiting the Performance of
iALS on Item Recommendation Benchmarks", section 3.1), and an item's score is p.v_i.  c_j is 1, or less the older
the event is.  Unlike a sum over the user's items it weighs them against each other: two films that say the same say it
once, and what the user passed by counts.  All of it stays on the device.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fedrec.config import FoldInSettings

Floats32 = NDArray[np.float32]


class FoldIn:
    """Item factors [items, k] made ready: turned so that their products' sum is diagonal, which changes no score."""

    def __init__(self, factors: Floats32, settings: FoldInSettings) -> None:
        told = factors.astype(np.float64)
        self.settings = settings
        self.spread, turn = np.linalg.eigh(told.T @ told)
        self.factors = told @ turn

    def scores(self, touched: csr_matrix) -> Floats32:
        """Scores float32 [users, items] of users by what they touched, [users, items] with c_j; 0 for nobody known.

        So is one whose equations have no solution in float64.
        """
        users = np.zeros((touched.shape[0], self.factors.shape[1]))
        for user in range(len(users)):
            part = slice(touched.indptr[user], touched.indptr[user + 1])
            if part.start < part.stop:
                own, counts = self.factors[touched.indices[part]], touched.data[part].astype(np.float64)
                users[user] = self._place_or_none(own, counts)
        return np.asarray(users @ self.factors.T, dtype=np.float32)

    def _place_or_none(self, own: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """`_place`, or zeros where the equations have no solution in numbers: nobody's ranking fails on a history."""
        with np.errstate(all="ignore"):
            try:
                found = self._place(own, counts)
            except np.linalg.LinAlgError:
                return np.zeros(own.shape[1])
        return found if np.isfinite(found).all() else np.zeros(own.shape[1])

    def _place(self, own: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """p of a user with the item factors ``own`` [n, k] that count ``counts`` [n]: by k or by n equations, whichever
        are fewer."""
        known = float(counts.sum()) + self.settings.unknown * len(self.factors)
        diagonal = self.settings.unknown * self.spread + self.settings.ridge * known
        if len(own) >= own.shape[1]:
            told = own.T @ (counts[:, None] * own)
            told[np.diag_indices(len(told))] += diagonal
            return np.asarray(np.linalg.solve(told, counts @ own))
        told = (own / diagonal) @ own.T
        told[np.diag_indices(len(told))] += 1.0 / counts
        return np.asarray((own.T @ np.linalg.solve(told, np.ones(len(own)))) / diagonal)
