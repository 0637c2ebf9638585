"""The content tower as part of the prior of the collaborative factors: factorisation after deep features.

Before training there is no tower to speak of, so the table is first solved with the rest of the prior, and once more
when it is trained.  Its parameters and the sums are charged by then, and the server asks nobody anything new.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from fedrec.config import CollaborativeSettings
from fedrec.content.feature_table import Features
from fedrec.model.recommender import Recommender
from fedrec.ranking.item_vectors import ItemVectors

TOWER: Final = "tower"


def without_tower(settings: CollaborativeSettings) -> CollaborativeSettings:
    """The settings with a prior of public content alone; without one, where the tower is all there is."""
    if TOWER not in settings.prior.modalities:
        return settings
    rest = {name: weight for name, weight in settings.prior.modalities.items() if name != TOWER}
    changed = {"modalities": rest, "weight": settings.prior.weight if rest else 0.0}
    return settings.model_copy(update={"prior": settings.prior.model_copy(update=changed)})


def with_tower(features: Features, read: Features, model: Recommender) -> Features:
    """``features`` with the tower's item vectors [items, dimension] as the modality ``tower``; ``read``: what the tower
    reads."""
    vectors = ItemVectors(model, read).vectors().numpy()
    present = np.asarray(vectors.any(axis=1))
    return replace(features, values={**features.values, TOWER: vectors}, present={**features.present, TOWER: present})
