"""From private sums and public content to the collaborative factors: EASE, written as two towers.

EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", section 3.1) scores an unseen item i for a
user x by sum_j x_j B_ji with B_ji = -P_ji / P_ii, P = (G + ridge I)^-1.  With G = V diag(g) V^T the part of P off its
diagonal is -V diag(g / (g + ridge)) V^T / ridge, so that B is a product of two tables of factors: an item as history,
V sqrt(g / (g + ridge)), and the same item as candidate, divided by ridge P_ii.  A device needs these two tables only,
cut to a rank that fits it, never a matrix of items by items.

Where the sums are noisy or cover part of the catalogue, a *content prior* is added to G: popularity-scaled similarity
of public content, D^1/2 S D^1/2.  It is the prior of a Gaussian view of EASE and reaches items that took no part.

Method ``als`` is matrix factorisation: the minimum over user factors X and item factors Y of
||P - X Y^T||^2 + ridge (||X||^2 + ||Y||^2), P being the users' (scaled) histories, which alternating least squares
finds step by step (Hu et al. 2008, section 4, with the confidence of all entries alike).  With P = U diag(s) V^T it is
known in closed form, Y = V sqrt((s - ridge)+) and X = U sqrt((s - ridge)+) (Hastie et al. 2015, "Matrix Completion and
Low-Rank SVD via Fast Alternating Least Squares", section 2), and V and s^2 are the eigenvectors and eigenvalues of G:
no user's row of P is needed.  A device folds its user in by ridge regression, x = (Y^T Y + ridge I)^-1 Y^T p, and
Y^T Y + ridge I is diag(s) on the columns that are kept.  So a score x . y_i is a sum over the user's items j of
h_j . h_i with h = V sqrt((s - ridge)+ / s), exactly: both towers are h, and a device needs no solver.

Method ``cosine`` is item-based collaborative filtering instead (Sarwar et al. 2001, section 3.1.1): an unseen item's
score is the sum of its cosines with the user's items, G_ij / sqrt((G_ii + ridge) (G_jj + ridge)).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from fedrec.accelerator import symmetric_eigen
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.content_kernel import content_kernel
from fedrec.collaborative.fold_in_factors import from_matrix
from fedrec.collaborative.tall import refuse_square
from fedrec.config import CollaborativeSettings, SolverSettings
from fedrec.content.feature_table import Features

_WITHOUT: Final = "Enable collaborative.power_iteration in place of collaborative.cooccurrence"


@dataclass(frozen=True, eq=False)
class WholeCooccurrence:
    """A co-occurrence of the whole catalogue: ``matrix`` [items, items], and the items' ``mass`` [items], above 0."""

    matrix: NDArray[np.float64]
    mass: NDArray[np.float64]

    @cached_property
    def pairs(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Its eigenvalues, ascending, and eigenvectors: found once for all ridges."""
        values, vectors = symmetric_eigen(self.matrix)
        return np.maximum(values, 0.0), vectors


def whole(
    popularity: NDArray[np.float64],
    matrix: NDArray[np.float64],
    items: NDArray[np.int64],
    settings: CollaborativeSettings,
    *,
    features: Features,
    noisy: bool,
) -> WholeCooccurrence:
    """The co-occurrence of all items: of those that took part as it was found, with the content prior beside it.

    Args:
        popularity: [catalogue], estimates of zero or above.
        matrix: [K, K], co-occurrence of the items that took part, denoised.
        items: [K], their places in the catalogue.
        settings: the prior's, and whether the solver is a factorisation.
        features: of the catalogue.
        noisy: whether noise was added; then a diagonal below what popularity says is raised to it.

    Raises:
        ConfigError: the prior names a modality that the content does not have.
        ModelError: there are more than 20,000 items.
    """
    count, prior = len(popularity), settings.prior
    refuse_square(count, "the co-occurrence of all items", action=_WITHOUT)
    mass = diagonal_from(popularity, matrix, items)
    full = np.zeros((count, count))
    full[np.ix_(items, items)] = matrix
    if prior.weight > 0:
        root = np.sqrt(mass)
        full += prior.weight * root[:, None] * content_kernel(features, prior) * root[None, :]
    # A factorisation explains what items share; raised, the diagonal would make a factor of every popular item.
    if settings.solver.method != "als" and (noisy or prior.weight > 0):
        np.fill_diagonal(full, np.maximum(full.diagonal(), mass))
    return WholeCooccurrence(full, mass)


def solve(
    popularity: NDArray[np.float64],
    matrix: NDArray[np.float64],
    items: NDArray[np.int64],
    settings: CollaborativeSettings,
    *,
    features: Features,
    noisy: bool,
) -> CollaborativeFactors:
    """`solve_whole` of the `whole` co-occurrence. Raises as `whole`."""
    known = whole(popularity, matrix, items, settings, features=features, noisy=noisy)
    return solve_whole(popularity, known, settings)


def solve_whole(
    popularity: NDArray[np.float64], known: WholeCooccurrence, settings: CollaborativeSettings
) -> CollaborativeFactors:
    """Make the collaborative factors of a release, of rank at most ``settings.solver.rank`` (0 = as many as carry
    anything).  ``popularity``: [catalogue], estimates of zero or above."""
    history, candidate = _towers(known, settings.solver)
    factors = None if settings.fold_in is None else from_matrix(known.matrix, known.mass, settings.fold_in)
    return CollaborativeFactors(
        history=history.astype(np.float32),
        candidate=candidate.astype(np.float32),
        popularity=popularity.astype(np.float32),
        factors=factors,
    )


def _towers(full: WholeCooccurrence, solver: SolverSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    match solver.method:
        case "ease":
            return _two_towers(full, solver.ridge, solver.rank)
        case "cosine":
            return _cosine_towers(full.matrix, solver.ridge, solver.rank)
        case "als":
            return _factor_towers(full, solver.ridge, solver.rank)
        case _:
            assert_never(solver.method)


def diagonal_from(
    popularity: NDArray[np.float64], matrix: NDArray[np.float64], items: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Popularity on the scale of the co-occurrence's diagonal, with a least value for items that nobody uses."""
    seen = popularity[items].sum()
    scale = max(float(np.trace(matrix)), 1.0) / seen if seen > 0 else 1.0
    floor = 0.1 * float(np.median(popularity))
    return np.asarray(np.maximum(popularity, max(floor, 1e-6)) * scale)


def _two_towers(full: WholeCooccurrence, ridge: float, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = full.pairs
    shrunk = values / (values + ridge)
    inverse_diagonal = 1.0 - (vectors**2) @ shrunk  # ridge * P_ii, in (0, 1]
    kept = np.flatnonzero(shrunk > 1e-6)
    if rank:
        kept = kept[-rank:]
    history = vectors[:, kept] * np.sqrt(shrunk[kept])
    return history, history / inverse_diagonal[:, None]


def _factor_towers(full: WholeCooccurrence, ridge: float, rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix factorisation, see the module."""
    singular, vectors = np.sqrt(full.pairs[0]), full.pairs[1]
    kept = np.flatnonzero(singular > ridge)
    if rank:
        kept = kept[-rank:]
    table = vectors[:, kept] * np.sqrt(1.0 - ridge / singular[kept])
    return table, table


def _cosine_towers(
    matrix: NDArray[np.float64], ridge: float, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both towers are the same: the root of the matrix of damped cosines. A diagonal only scores what was seen."""
    scale = 1.0 / np.sqrt(np.maximum(matrix.diagonal(), 0.0) + ridge)
    values, vectors = symmetric_eigen(matrix * scale[:, None] * scale[None, :])
    kept = np.flatnonzero(values > 1e-6 * max(float(values[-1]), 1e-12))
    if rank:
        kept = kept[-rank:]
    root = vectors[:, kept] * np.sqrt(values[kept])
    return root, root
