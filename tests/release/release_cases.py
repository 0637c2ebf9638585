"""A small release that has every part, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import ModelSettings
from fedrec.release.contents import CatalogueItems, ModelState, ReleaseContents

CREATED = "2026-11-22T05:00:00Z"
ITEMS = 5


def contents(*, name: str = "shop", collaborative: bool = True, model: bool = True) -> ReleaseContents:
    rng = np.random.default_rng(3)
    items = CatalogueItems(
        ids=tuple(f"i{place}" for place in range(ITEMS)),
        titles=("Alien", "Blau", "Çà et là", "日本", ""),
        values={
            "text": rng.normal(size=(ITEMS, 4)).astype(np.float32),
            "image": rng.integers(0, 255, size=(ITEMS, 3, 2, 2)).astype(np.uint8),
        },
        present={"text": np.array([True, True, False, True, True]), "image": np.ones(ITEMS, dtype=np.bool_)},
    )
    state = ModelState(
        settings=ModelSettings(dimension=4),
        shapes={"text": (4,)},
        temperature=0.1,
        parameters={
            "z.weight": rng.normal(size=(4, 4)).astype(np.float32).T,
            "a.bias": rng.normal(size=4).astype(np.float32),
        },
    )
    table = CollaborativeFactors(
        history=rng.normal(size=(ITEMS, 2)).astype(np.float32),
        candidate=rng.normal(size=(ITEMS, 2)).astype(np.float32),
        popularity=rng.uniform(size=ITEMS).astype(np.float32),
    )
    return ReleaseContents(
        name=name,
        items=items,
        model=state if model else None,
        collaborative=table if collaborative else None,
        encoders={"text": b"an encoder's bytes", "image": b"another's"},
        config={"run": {"seed": 1}, "training": {"rate": 0.01, "names": ["ä", "b"]}},
        privacy={"epsilon_released": 3.0, "epsilon_server": None, "unit": "user"},
        card="# A card\n",
    )
