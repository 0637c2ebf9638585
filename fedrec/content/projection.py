"""Linear reduction of wide features: centre, optionally standardise, keep the leading directions, rescale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse.linalg import svds

from fedrec.content.encoder import Arrays, array_of
from fedrec.errors import ContentError

DENSE_SIDE = 768
"""Up to this many rows or columns a full decomposition is quicker than an iterative one."""

PAIRS_SIDE = 2_048
"""Up to this many, decomposing the products of all pairs is: its time is their number's cube, whatever is asked for."""


def leading_directions(matrix: Any, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The right singular vectors [columns, at most k] of a dense or sparse matrix, and their values, largest first.

    Directions whose singular value is zero up to rounding are left out, so fewer than k may come back. Deterministic:
    the iteration starts from a fixed vector, and each direction's largest entry is positive.
    """
    side = min(matrix.shape)
    if k >= side or side <= DENSE_SIDE:
        vectors, values = _dense(matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix))
    elif side <= PAIRS_SIDE:
        vectors, values = _by_pairs(matrix, k)
    else:
        start = np.random.default_rng(20_240_229).standard_normal(side)
        _, values, transposed = svds(matrix, k=k, v0=start, solver="arpack")
        vectors = transposed.T
    order = np.argsort(-values, kind="stable")[:k]
    values, vectors = values[order], vectors[:, order]
    kept = values > 1e-7 * max(float(values[0]), 1e-30) if len(values) else np.zeros(0, np.bool_)
    values, vectors = values[kept], vectors[:, kept]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    return vectors * signs, values


def _dense(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    _, values, transposed = np.linalg.svd(matrix, full_matrices=False)
    return transposed.T, values


def _by_pairs(matrix: Any, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The leading k, from the eigenvectors of the products of all pairs of rows, or of columns if they are fewer.

    Values are lengths of the matrix' images, which are exact where the roots of eigenvalues would not be.
    """
    wide = matrix.shape[0] <= matrix.shape[1]
    pairs = matrix @ matrix.T if wide else matrix.T @ matrix
    pairs = np.asarray(pairs.toarray() if sparse.issparse(pairs) else pairs, dtype=np.float64)
    _, found = eigh(pairs, subset_by_index=[len(pairs) - k, len(pairs) - 1], overwrite_a=True)
    images = matrix.T @ found if wide else matrix @ found
    values = np.linalg.norm(images, axis=0)
    return (images / np.maximum(values, 1e-300) if wide else found), values


def unit_rows(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row divided by its Euclidean norm; a row of zeros stays as it is."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(norms > 0, norms, 1.0), np.float64)


@dataclass(frozen=True)
class Projection:
    """x -> ((x - centre) / spread) @ directions, then unit rows or one common gain.

    ``centre``, ``spread``: float32 [in]. ``directions``: float32 [in, out]. ``gain``: a factor that gives the rows it
    was fitted on a root mean square norm of 1, or 0 to scale every row to norm 1 instead.
    """

    centre: NDArray[np.float32]
    spread: NDArray[np.float32]
    directions: NDArray[np.float32]
    gain: float

    @classmethod
    def fit(
        cls, raw: NDArray[np.float32], dimension: int, *, standardise: bool = False, unit: bool = False
    ) -> Projection:
        """Fit on rows [n, in] of present content.

        The output is min(dimension, in, rank) wide: dead columns would only collect noise in private training. With a
        single row, or equal rows, there is no direction to keep, and one constant column comes out.

        Raises:
            ContentError: there is no row, or an entry is not finite.
        """
        if not len(raw):
            raise ContentError("there is nothing to fit an encoder on", action="Leave the modality out")
        if not np.isfinite(raw).all():
            raise ContentError("features to project hold a value that is not finite", action="Mend the feature file")
        exact = raw.astype(np.float64)
        centre = exact.mean(axis=0)
        spread = exact.std(axis=0) if standardise else np.ones_like(centre)
        spread[spread <= 1e-6 * (1 + np.abs(centre))] = 1.0
        scaled = (exact - centre) / spread
        directions, _ = leading_directions(scaled, dimension)
        if not directions.shape[1]:
            directions = np.eye(len(centre), 1)
        norm = float(np.sqrt(np.mean(np.sum((scaled @ directions) ** 2, axis=1))))
        gain = 0.0 if unit else (1.0 / norm if norm > 1e-12 else 1.0)
        return cls(centre.astype(np.float32), spread.astype(np.float32), directions.astype(np.float32), gain)

    @property
    def width(self) -> int:
        """The number of columns that come out."""
        return int(self.directions.shape[1])

    def apply(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        """Project rows [n, in] to [n, width]; each row on its own."""
        out = ((raw - self.centre) / self.spread).astype(np.float64) @ self.directions.astype(np.float64)
        out = out * self.gain if self.gain else unit_rows(out)
        return out.astype(np.float32)

    def arrays(self) -> Arrays:
        """The state; inverse of `from_arrays`."""
        gain = np.array([self.gain], np.float64)
        return {"centre": self.centre, "spread": self.spread, "directions": self.directions, "gain": gain}

    @classmethod
    def from_arrays(cls, arrays: Arrays, width: int) -> Projection:
        """Restore; ``width`` is the number of columns that go in. Raises ContentError where the state is damaged."""
        spread = array_of(arrays, "spread", (width,))
        if not (spread > 0).all():
            raise ContentError("a saved encoder's array 'spread' is damaged", action="Build the features again")
        return cls(
            array_of(arrays, "centre", (width,)),
            spread,
            array_of(arrays, "directions", (width, None)),
            float(array_of(arrays, "gain", (1,), np.float64)[0]),
        )
