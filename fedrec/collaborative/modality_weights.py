"""How much each modality of the content says of behaviour, read off a noisy sum that was paid for anyway.

A sum of projected histories A = G U tells what the users' co-occurrence G does to the directions U.  If G is a mixture
of kernels, G = sum_m w_m D^1/2 S_m D^1/2 + own parts, then A is the same mixture of known matrices, and the w_m are the
coefficients of a regression of A on them, none below zero (Lawson and Hanson 1974, chapter 23): kernel alignment
(Cristianini et al. 2001) with noise of known size.  An item's entries are in part off together, by what no kernel
explains of it, so r of them count as r / (1 + (r - 1) / 3) observations: the design effect of clusters (Kish 1965,
section 5.4) whose members' errors have a correlation of a third.  There are thousands of items and a handful of
weights, so little noise is left in them.  Where there is too much, they stay near the weights that the settings give:
each is normal around its own with a deviation as large.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.content_kernel import content_factors
from fedrec.collaborative.power_iteration import Expected, ProjectionDirections
from fedrec.collaborative.tall import TallTable, blocks, gram, times
from fedrec.config import PriorSettings
from fedrec.content.feature_table import Features

Floats = NDArray[np.float64]

# Of two entries of one item, the correlation of what is not explained of them.
_WITHIN_ITEMS: Final = 1 / 3


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
    expected = [_expected(name, asked, mass, popularity, features, prior) for name in given]
    along = asked.centre @ (mass[:, None] * asked.vectors)
    # An entry is off by its noise and by what no kernel explains, which grows with the item's mass.
    unexplained = float((found**2).mean()) / 2 / float(mass.mean())
    together = np.zeros((len(given) + 2, len(given) + 2))
    for part in blocks(len(mass)):
        own = mass[part, None] * asked.vectors[part] - np.outer(asked.centre[part], along)
        sure = 1.0 / np.sqrt((sigma / scale[part]) ** 2 + mass[part, None] * unexplained)
        columns = [*(table[part] for table in expected), own, found[part]]
        rows = np.stack([(column * sure).ravel() for column in columns], axis=1)
        together += rows.T @ rows
    weights = _regressed(together / _design_effect(asked.vectors.shape[1]), np.array(list(given.values())))
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
) -> TallTable:
    """What the linear kernel of one modality alone would lead to expect of the sum."""
    alone = prior.model_copy(update={"modalities": {name: 1.0}, "sharpness": 0.0, "leading": 0.0})
    kernel = Expected.of(mass, popularity, content_factors(features, alone)).factors
    return times(kernel, gram(kernel, asked.vectors))


def _design_effect(entries: int) -> float:
    """As how many observations' worth of variance so many entries of an item have, at least 1: their errors go
    together."""
    return 1 + (max(entries, 1) - 1) * _WITHIN_ITEMS


def _regressed(together: Floats, given: Floats) -> Floats | None:
    """Weights [k], zero or above, of the first k columns; the next column is let go free. None where all are zero.

    ``together``: products [k + 2, k + 2] of these columns and, last, of what they are to explain.
    """
    count = len(given)
    inner, wanted = together[:-1, :-1], together[:-1, -1]
    size = float(given @ inner[:count, :count] @ given)
    level = max(float(given @ wanted[:count]) / max(size, 1e-300), 1e-12)
    # As few rows as columns, with the same products: what is nearest to them is nearest to all entries.
    values, vectors = np.linalg.eigh(inner)
    root = np.sqrt(np.maximum(values, 1e-14 * max(float(values[-1]), 1e-300)))[:, None]
    columns, found = root * vectors.T, (vectors.T @ wanted) / root[:, 0]
    # One more row a weight: it is level * given, give or take as much.
    deviations = level * given
    rows = np.hstack([np.diag(1.0 / deviations), np.zeros((count, 1))])
    from scipy.optimize import nnls  # with all optimisers: where weights are to be found

    solved, _ = nnls(np.vstack([columns, rows]), np.concatenate([found, np.ones(count)]))
    weights = solved[:count]
    return weights if weights.sum() > 0 else None
