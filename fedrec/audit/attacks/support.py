"""What the support of an id-embedding update reveals, and such a model to show it on.

A recommender with an embedding an item (FedMF, Ammad-ud-din et al. 2019; FedRec, Lin et al. 2020) moves exactly the
rows of the items that a device trained on: who sees one device's update sees the list of its interactions and sampled
negatives.  Among those, positives and negatives are pulled opposite ways along the user's vector, so the sign parts
them (Chai et al. 2020, "Secure Federated Matrix Factorization", show the same from two updates).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_RIDGE = 1.0


def id_update(
    table: NDArray[np.float64], interacted: NDArray[np.int32], *, negatives: int, bound: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """A device's clipped gradient of binary cross-entropy with respect to an item table.

    The device fits its own vector to its items (ridge regression on +1 and -1), and draws ``negatives`` items it has
    not touched for each one it has.

    Args:
        table: [items, width].
        interacted: the device's items, none twice.
        negatives: for each interaction.
        bound: the update's largest L2 norm.
        rng: draws negatives.

    Returns:
        [items, width], zero in every row of an item that was neither.
    """
    free = np.setdiff1d(np.arange(len(table)), interacted)
    drawn = rng.choice(free, min(len(free), negatives * len(interacted)), replace=False)
    places = np.concatenate([interacted, drawn]).astype(np.int64)
    labels = np.concatenate([np.ones(len(interacted)), np.zeros(len(drawn))])
    used = table[places]
    user = np.linalg.solve(used.T @ used + _RIDGE * np.eye(table.shape[1]), used.T @ (2 * labels - 1))
    errors = 1 / (1 + np.exp(-(used @ user))) - labels
    update = np.zeros_like(table)
    update[places] = errors[:, None] * user
    norm = float(np.linalg.norm(update))
    return update * min(1.0, bound / norm) if norm > 0 else update


def support(update: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The items [items] whose row of an update [items, width] is not zero."""
    return np.asarray(np.any(update != 0, axis=1))


def support_scores(update: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scores [items], higher = rather interacted with, from an update [items, width] as it was received.

    Rows are projected on their leading direction, which for one device's update is its user's vector.  Negatives
    outnumber interactions, so the side with fewer rows is the interactions'.  An update of zeros scores 0 everywhere.
    """
    _, _, right = np.linalg.svd(np.asarray(update, np.float64), full_matrices=False)
    along = update @ right[0]
    above, below = int((along > 0).sum()), int((along < 0).sum())
    return np.asarray(along if above <= below else -along)
