"""From private sums and public content to the behaviour table: EASE, written as two towers.

EASE (Steck 2019, "Embarrassingly Shallow Autoencoders for Sparse Data", section 3.1) scores an unseen item i for a
user x by sum_j x_j B_ji with B_ji = -P_ji / P_ii, P = (G + ridge I)^-1.  With G = V diag(g) V^T the part of P off its
diagonal is -V diag(g / (g + ridge)) V^T / ridge, so that B is a product of two tables of factors: an item as history,
V sqrt(g / (g + ridge)), and the same item as candidate, divided by ridge P_ii.  A device needs these two tables only,
cut to a rank that fits it, never a matrix of items by items.

Where the sums are noisy or cover part of the catalogue, a *content prior* is added to G: popularity-scaled similarity
of public content, D^1/2 S D^1/2.  It is the prior of a Gaussian view of EASE and reaches items that took no part.

Method ``cosine`` is item-based collaborative filtering instead (Sarwar et al. 2001, section 3.1.1): an unseen item's
score is the sum of its cosines with the user's items, G_ij / sqrt((G_ii + ridge) (G_jj + ridge)).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedrec.aggregation.behaviour import Behaviour
from fedrec.config import BehaviourSettings
from fedrec.content.feature_table import Features
from fedrec.errors import ConfigError


def solve(
    popularity: NDArray[np.float64],
    matrix: NDArray[np.float64],
    items: NDArray[np.int64],
    settings: BehaviourSettings,
    *,
    features: Features,
    noisy: bool,
) -> Behaviour:
    """Make the behaviour table of a release.

    Args:
        popularity: [catalogue], estimates of zero or above.
        matrix: [K, K], co-occurrence of the items that took part, denoised.
        items: [K], their places in the catalogue.
        noisy: whether noise was added; then a diagonal below what popularity says is raised to it.

    Returns:
        The table, of rank at most ``settings.rank`` (0 = as many as carry anything).
    """
    count = len(popularity)
    mass = _diagonal_from(popularity, matrix, items)
    full = np.zeros((count, count))
    full[np.ix_(items, items)] = matrix
    if settings.prior > 0:
        root = np.sqrt(mass)
        full += settings.prior * root[:, None] * content_kernel(features, settings.prior_modalities) * root[None, :]
    if noisy or settings.prior > 0:
        np.fill_diagonal(full, np.maximum(full.diagonal(), mass))
    towers = _cosine_towers if settings.method == "cosine" else _two_towers
    history, candidate = towers(full, settings.ridge, settings.rank)
    return Behaviour(
        history=history.astype(np.float32),
        candidate=candidate.astype(np.float32),
        popularity=popularity.astype(np.float32),
    )


def content_kernel(features: Features, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """Weighted sum of the modalities' cosine similarities, [items, items]; a missing modality counts 0.

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    factors = content_factors(features, weights)
    return factors @ factors.T


def content_factors(features: Features, weights: Mapping[str, float]) -> NDArray[np.float64]:
    """Vectors whose products are the content kernel: [items, widths of all the modalities together].

    Raises:
        ConfigError: a weight names a modality that the content does not have.
    """
    check_prior(features, weights)
    columns = []
    for name, weight in weights.items():
        values = np.asarray(features.values[name], dtype=np.float64).reshape(len(features.ids), -1)
        values = values * features.present[name][:, None]
        unit = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
        columns.append(np.sqrt(weight) * unit)
    return np.hstack(columns)


def check_prior(features: Features, weights: Mapping[str, float]) -> None:
    """Hold the prior's weights to the content, before anything is asked. Raises ConfigError."""
    unknown = sorted(set(weights) - set(features.values))
    if unknown or not weights:
        raise ConfigError(
            "behaviour.prior_modalities must name modalities of the content",
            value=unknown or dict(weights),
            action=f"The content has {', '.join(sorted(features.values))}",
        )


def _diagonal_from(
    popularity: NDArray[np.float64], matrix: NDArray[np.float64], items: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Popularity on the scale of the co-occurrence's diagonal, with a floor for items that nobody seems to use."""
    seen = popularity[items].sum()
    scale = max(float(np.trace(matrix)), 1.0) / seen if seen > 0 else 1.0
    floor = 0.1 * float(np.median(popularity))
    return np.asarray(np.maximum(popularity, max(floor, 1e-6)) * scale)


def _two_towers(
    matrix: NDArray[np.float64], ridge: float, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0.0)
    shrunk = values / (values + ridge)
    inverse_diagonal = 1.0 - (vectors**2) @ shrunk  # ridge * P_ii, in (0, 1]
    kept = np.flatnonzero(shrunk > 1e-6)
    if rank:
        kept = kept[-rank:]
    history = vectors[:, kept] * np.sqrt(shrunk[kept])
    return history, history / inverse_diagonal[:, None]


def _cosine_towers(
    matrix: NDArray[np.float64], ridge: float, rank: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both towers are the same: the root of the matrix of damped cosines. A diagonal only scores what was seen."""
    scale = 1.0 / np.sqrt(np.maximum(matrix.diagonal(), 0.0) + ridge)
    values, vectors = np.linalg.eigh(matrix * scale[:, None] * scale[None, :])
    kept = np.flatnonzero(values > 1e-6 * max(float(values[-1]), 1e-12))
    if rank:
        kept = kept[-rank:]
    root = vectors[:, kept] * np.sqrt(values[kept])
    return root, root
