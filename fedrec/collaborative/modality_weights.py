"""How much each modality of the content says of behaviour, read off a noisy sum that was paid for anyway.

A sum of projected histories A = G U tells what the users' co-occurrence G does to the directions U.  If G is a mixture
of kernels, G = sum_m w_m D^1/2 S_m D^1/2 + own parts, then A is the same mixture of known matrices, and the w_m are the
coefficients of a regression of A on them, none below zero (Lawson and Hanson 1974, chapter 23): kernel alignment
(Cristianini et al. 2001) with noise of known size.  There are thousands of entries and a handful of weights, so little
noise is left in them.  Where there is too much, they stay near the weights that the settings give: each is normal
around its own with a deviation as large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from fedrec.collaborative.content_kernel import content_factors
from fedrec.collaborative.power_iteration import Expected, ProjectionDirections
from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features

Floats = NDArray[np.float64]


def weighed_by_sum(
    opened: Floats,
    asked: ProjectionDirections,
    mass: Floats,
    popularity: Floats,
    features: Features,
    prior: PriorSettings,
    sigma: float,
) -> PriorSettings:
    """The prior with modalities weighed by how much of a noisy sum each explains.

    Args:
        opened: [items * r], with noise of deviation ``sigma`` in each entry.
        asked: what was projected on; weights of items are divided out.
        mass: [items], above 0.
        popularity: [items], zero or above.
        features: of the catalogue.
        prior: what is given; its weights' sum is kept.
        sigma: 0 or above.

    Returns:
        Another prior, or ``prior`` itself where one modality is all there is or none explains anything.
    """
    given = {name: weight for name, weight in prior.modalities.items() if weight > 0}
    if len(given) < 2:
        return prior
    scale = np.ones((len(mass), 1)) if asked.weights is None else asked.weights[:, None]
    found = opened.reshape(asked.vectors.shape) / scale
    expected = {name: _expected(name, asked, mass, popularity, features, prior) for name in given}
    own = mass[:, None] * asked.vectors
    own = own - np.outer(asked.centre, asked.centre @ own)
    # An entry is off by its noise and by what no kernel explains, which grows with the item's mass.
    share = (mass / mass.mean())[:, None]
    sure = 1.0 / np.sqrt((sigma / scale) ** 2 + share * float((found**2).mean()) / 2)
    columns = np.stack([(table * sure).ravel() for table in (*expected.values(), own)], axis=1)
    weights = _regressed((found * sure).ravel(), columns, np.array(list(given.values())))
    if weights is None:
        return prior
    weights *= sum(given.values()) / weights.sum()
    modalities = {**prior.modalities, **dict(zip(given, map(float, weights), strict=True))}
    return prior.model_copy(update={"modalities": modalities})


def _expected(
    name: str,
    asked: ProjectionDirections,
    mass: Floats,
    popularity: Floats,
    features: Features,
    prior: PriorSettings,
) -> Floats:
    """What the linear kernel of one modality alone would lead to expect of the sum."""
    alone = prior.model_copy(update={"modalities": {name: 1.0}, "sharpness": 0.0, "leading": 0.0})
    kernel = Expected.of(mass, popularity, content_factors(features, alone)).factors
    return np.asarray(kernel @ (kernel.T @ asked.vectors))


def _regressed(found: Floats, columns: Floats, given: Floats) -> Floats | None:
    """Weights [k], zero or above, of the first k columns; the last column is let go free. None where all are zero."""
    count = len(given)
    together = columns[:, :count] @ given
    level = max(float(together @ found) / max(float(together @ together), 1e-300), 1e-12)
    # One more row a weight: it is level * given, give or take as much.
    deviations = level * given
    rows = np.hstack([np.diag(1.0 / deviations), np.zeros((count, 1))])
    solved, _ = nnls(np.vstack([columns, rows]), np.concatenate([found, np.ones(count)]))
    weights = solved[:count]
    return weights if weights.sum() > 0 else None
