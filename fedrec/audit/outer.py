"""What canaries add to a sum of outer products, without writing out one matrix a canary."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fedrec.errors import PrivacyError

_BLOCK = 256

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class OuterParts:
    """The part of canary k is (histories[k] - along[k] centre) right[k]^T, row by row in one vector.

    ``histories``: sparse [m, items].  ``along``: [m].  ``centre``: [items].  ``right``: [m, r].  The parts of two
    canaries meet at the product of what their left and their right vectors meet at.
    """

    histories: sparse.csr_matrix
    along: Floats
    centre: Floats
    right: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Canaries, and the length of the sum."""
        return len(self.along), len(self.centre) * self.right.shape[1]

    def of(self, residual: Floats) -> Floats:
        """The product of each part with a sum [length]; [m]. Raises PrivacyError where that is of another length."""
        if residual.shape != self.shape[1:]:
            raise PrivacyError("what is expected of canaries is of another sum", value=(self.shape, residual.shape))
        matrix = residual.reshape(len(self.centre), -1)
        left = self.histories @ matrix - np.outer(self.along, self.centre @ matrix)
        return np.asarray((left * self.right).sum(axis=1))

    @cached_property
    def squares(self) -> Floats:
        """The squared length of each part; [m]."""
        own = np.asarray(self.histories.multiply(self.histories).sum(axis=1)).ravel()
        meets = self.histories @ self.centre
        left = own - 2 * self.along * meets + self.along**2 * (self.centre @ self.centre)
        return np.asarray(left * (self.right**2).sum(axis=1))

    def others(self, chance: Floats) -> tuple[Floats, Floats]:
        """What all other canaries, each there with a chance [m], add along each one's part: mean and variance, [m]."""
        meets, square = self.histories @ self.centre, self.centre @ self.centre
        mean, variance = np.zeros(len(self.along)), np.zeros(len(self.along))
        for start in range(0, len(self.along), _BLOCK):
            rows = slice(start, start + _BLOCK)
            left = np.asarray((self.histories[rows] @ self.histories.T).toarray())
            left -= np.outer(meets[rows], self.along) + np.outer(self.along[rows], meets)
            left += square * np.outer(self.along[rows], self.along)
            gram = left * (self.right[rows] @ self.right.T)
            here = np.arange(len(gram))
            gram[here, start + here] = 0.0
            mean[rows], variance[rows] = gram @ chance, gram**2 @ (chance * (1 - chance))
        return mean, variance
