"""EASE for a Gram matrix of low rank plus a diagonal, without ever writing down a matrix of items by items.

`solve` inverts such a matrix; here the inverse is taken by Woodbury's identity (Hager 1989, section 1): with the Gram
matrix Z Z^T + diag(e), D = diag(e) + ridge and M = (I + Z^T D^-1 Z)^-1,

    P = D^-1 - D^-1 Z M Z^T D^-1,

so that off its diagonal P is minus a product of the table H = D^-1 Z M^1/2 with itself, and EASE's weights are
B_ji = H_j . H_i / P_ii (Steck 2019, section 3.1).  Cost: items times rank squared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.solve import factor_towers

Floats = NDArray[np.float64]


def solve_low_rank(
    popularity: Floats, factors: Floats, mass: Floats, ridge: float, rank: int = 0
) -> CollaborativeFactors:
    """The collaborative factors of a Gram matrix whose off-diagonal part is ``factors`` factors^T, [items, k].

    ``mass``: [items], the diagonal; what the factors alone give more than that is left as it is.  ``ridge``: above 0.
    ``rank``: keep so many columns, those with the most say (0 = all).
    """
    own = np.maximum(mass - (factors**2).sum(axis=1), 0.0)
    inverse = 1.0 / (own + ridge)
    scaled = factors * inverse[:, None]
    values, vectors = np.linalg.eigh(np.eye(factors.shape[1]) + factors.T @ scaled)
    history = scaled @ (vectors / np.sqrt(values))
    diagonal = inverse - (history**2).sum(axis=1)
    if rank and rank < history.shape[1]:
        left, singular, _ = np.linalg.svd(history, full_matrices=False)
        history = left[:, :rank] * singular[:rank]
    candidate = history / diagonal[:, None]
    return CollaborativeFactors(history.astype(np.float32), candidate.astype(np.float32), popularity.astype(np.float32))


def factorise(popularity: Floats, factors: Floats, ridge: float, rank: int = 0) -> CollaborativeFactors:
    """Matrix factorisation of a Gram matrix ``factors`` factors^T, [items, k]; see method ``als`` of `solve`."""
    left, singular, _ = np.linalg.svd(factors, full_matrices=False)
    history, candidate = factor_towers(left[:, ::-1], singular[::-1], ridge, rank)
    return CollaborativeFactors(history.astype(np.float32), candidate.astype(np.float32), popularity.astype(np.float32))


def mass_of(popularity: Floats, users: int) -> Floats:
    """Popularity on the scale of the co-occurrence's diagonal: sums to ``users``, since a user's part has trace 1.

    Items that nobody seems to use get a floor of a tenth of the median, so that none has no mass at all.
    """
    floored = np.maximum(popularity, 0.1 * float(np.median(popularity)) + 1e-6)
    return np.asarray(floored * (users / floored.sum()))


def joined(
    centre: Floats, popularity: Floats, found: Floats, content: Floats, mass: Floats, *, scale: float, prior: float
) -> Floats:
    """Factors of the whole estimate: popular direction, what the rounds found, and the content kernel as a prior.

    The popular direction's share is the least that popularity proves: by Jensen's inequality the users' mean squared
    part along it is at least the square of the mean.
    """
    users = float(mass.sum())
    popular = centre[:, None] * (float(popularity @ centre) / np.sqrt(users))
    return np.hstack([popular, np.sqrt(scale) * found, np.sqrt(prior) * np.sqrt(mass)[:, None] * content])
