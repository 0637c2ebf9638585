"""EASE for a Gram matrix of low rank plus a diagonal, without ever writing down a matrix of items by items.

`solve` inverts such a matrix; here the inverse is taken by Woodbury's identity (Hager 1989, section 1): with the Gram
matrix Z Z^T + diag(e), D = diag(e) + ridge and M = (I + Z^T D^-1 Z)^-1,

    P = D^-1 - D^-1 Z M Z^T D^-1,

so that off its diagonal P is minus a product of the table H = D^-1 Z M^1/2 with itself, and EASE's weights are
B_ji = H_j . H_i / P_ii (Steck 2019, section 3.1).  Time grows as items times rank squared, memory as what is returned:
factors are read in blocks of items.
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.collaborative.fold_in_factors import from_factors
from fedrec.collaborative.tall import TallTable, blocks, directions_of, gram, squared_lengths, times
from fedrec.config import CollaborativeSettings

Floats = NDArray[np.float64]


def solve_low_rank(
    popularity: Floats, factors: TallTable, mass: Floats, ridge: float, rank: int = 0
) -> CollaborativeFactors:
    """The collaborative factors of a Gram matrix whose off-diagonal part is ``factors`` factors^T, [items, k].

    ``mass``: [items], the diagonal; what the factors alone give more than that is left as it is.  ``ridge``: above 0.
    ``rank``: keep so many columns, those with the most say (0 = all).
    """
    inverse = 1.0 / (np.maximum(mass - squared_lengths(factors), 0.0) + ridge)
    values, vectors = np.linalg.eigh(np.eye(factors.shape[1]) + gram(factors, weights=inverse))
    turn = vectors / np.sqrt(values)
    lead = None
    if rank and rank < factors.shape[1]:
        lead, _ = directions_of(turn.T @ gram(factors, weights=inverse**2) @ turn, rank)
    columns = turn.shape[1] if lead is None else lead.shape[1]
    history, candidate = (np.empty((len(factors), columns), dtype=np.float32) for _ in range(2))
    for part in blocks(len(factors)):
        whole = (factors[part] * inverse[part, None]) @ turn
        diagonal = inverse[part] - (whole**2).sum(axis=1)
        kept = whole if lead is None else whole @ lead
        history[part], candidate[part] = kept, kept / diagonal[:, None]
    return CollaborativeFactors(history, candidate, popularity.astype(np.float32))


def factorise(popularity: Floats, factors: TallTable, ridge: float, rank: int = 0) -> CollaborativeFactors:
    """Matrix factorisation of a Gram matrix ``factors`` factors^T, [items, k]; see method ``als`` of `solve`."""
    vectors, singular = directions_of(gram(factors), rank)
    kept = singular > ridge
    shares = np.sqrt(1.0 - ridge / singular[kept]) / singular[kept]
    table = times(factors, vectors[:, kept] * shares).astype(np.float32)
    return CollaborativeFactors(table, table, popularity.astype(np.float32))


def cosine(popularity: Floats, factors: TallTable, mass: Floats, ridge: float, rank: int = 0) -> CollaborativeFactors:
    """Damped cosines of a Gram matrix whose off-diagonal part is ``factors`` factors^T; see method ``cosine`` of
    `solve`.  ``mass``: [items], the diagonal; what the factors alone give more than that is left as it is."""
    scale = 1.0 / np.sqrt(np.maximum(mass, squared_lengths(factors)) + ridge)
    vectors, _ = directions_of(gram(factors, weights=scale**2), rank)
    table = times(factors, vectors, scale).astype(np.float32)
    return CollaborativeFactors(table, table, popularity.astype(np.float32))


def solved(
    popularity: Floats, factors: TallTable, mass: Floats, settings: CollaborativeSettings, *, raised: bool = True
) -> CollaborativeFactors:
    """What ``settings.solver`` and ``settings.fold_in`` make of a Gram matrix of low rank, arguments as above.

    ``raised``: whether a diagonal below ``mass`` is raised to it.
    """
    least = mass if raised else np.zeros_like(mass)
    solver = settings.solver
    match solver.method:
        case "ease":
            table = solve_low_rank(popularity, factors, least, solver.ridge, solver.rank)
        case "als":
            table = factorise(popularity, factors, solver.ridge, solver.rank)
        case "cosine":
            table = cosine(popularity, factors, least, solver.ridge, solver.rank)
        case _:
            assert_never(solver.method)
    if settings.fold_in is None:
        return table
    return replace(table, factors=from_factors(factors, mass, settings.fold_in))


def mass_of(popularity: Floats, users: int) -> Floats:
    """Popularity on the scale of the co-occurrence's diagonal: sums to ``users``, since a user's part has trace 1.

    Items that nobody seems to use get at least a tenth of the median, so that none has no mass at all.
    """
    floored = np.maximum(popularity, 0.1 * float(np.median(popularity)) + 1e-6)
    return np.asarray(floored * (users / floored.sum()))


def joined(
    centre: Floats,
    popularity: Floats,
    found: TallTable,
    content: TallTable,
    mass: Floats,
    *,
    scale: float,
    prior: float,
) -> TallTable:
    """Factors of the whole estimate: popular direction, what the rounds found, and the content kernel as a prior.

    The popular direction's share is the least that popularity proves: by Jensen's inequality the users' mean squared
    part along it is at least the square of the mean.  Of the content's type: float32 of a large catalogue.
    """
    users, width = float(mass.sum()), found.shape[1]
    whole = np.empty((len(mass), 1 + width + content.shape[1]), dtype=content.dtype)
    whole[:, 0] = centre * (float(popularity @ centre) / np.sqrt(users))
    np.multiply(found, np.sqrt(scale), out=whole[:, 1 : 1 + width], casting="same_kind")
    root = np.sqrt(prior * mass)[:, None]
    for part in blocks(len(mass)):
        whole[part, 1 + width :] = root[part] * content[part]
    return whole
