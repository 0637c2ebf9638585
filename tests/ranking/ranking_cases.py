"""A small catalogue, model and collaborative factors for the tests of this folder."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import CollaborativeSettings, ModelSettings, ScoringSettings
from fedrec.model.recommender import Recommender
from fedrec.ranking.score import Scorer
from fedrec.release.contents import CatalogueItems

ITEMS = 23
WIDTHS = {"text": 6, "image": 5}


def catalogue(items: int = ITEMS, seed: int = 0) -> CatalogueItems:
    rng = np.random.default_rng(seed)
    present = {name: rng.random(items) > 0.15 for name in WIDTHS}
    values = {
        name: (rng.normal(size=(items, width)) * present[name][:, None]).astype(np.float32)
        for name, width in WIDTHS.items()
    }
    return CatalogueItems(
        ids=tuple(f"i{place}" for place in range(items)),
        titles=tuple(f"Film {place}" if place else "" for place in range(items)),
        values=values,
        present=present,
    )


def table(items: int = ITEMS, rank: int = 4, seed: int = 1) -> CollaborativeFactors:
    rng = np.random.default_rng(seed)
    factors: NDArray[np.float32] = rng.normal(size=(2, items, rank)).astype(np.float32)
    return CollaborativeFactors(
        history=factors[0], candidate=factors[1], popularity=rng.exponential(size=items).astype(np.float32)
    )


def model_settings(**changes: object) -> ModelSettings:
    return ModelSettings.model_validate({"dimension": 8, "history": 5, "notes": True, "photos": True, **changes})


def model(settings: ModelSettings | None = None) -> Recommender:
    shapes = {name: (width,) for name, width in WIDTHS.items()}
    return Recommender(settings or model_settings(), shapes, seed=2, temperature=0.1)


def scorer(
    *,
    weight: float = 0.4,
    popularity: float = 0.2,
    tower: bool = True,
    collaborative: CollaborativeFactors | None = None,
    features: CatalogueItems | None = None,
) -> Scorer:
    return Scorer(
        model=model() if tower else None,
        features=features or catalogue(),
        collaborative=collaborative,
        settings=CollaborativeSettings(scoring=ScoringSettings(weight=weight, popularity_weight=popularity)),
        model_settings=model_settings(),
    )
