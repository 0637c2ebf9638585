"""Small releases of every kind that ranks, for the tests of exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import from_tree
from fedrec.model.recommender import Recommender
from fedrec.release.bundle import write_release
from fedrec.release.contents import CatalogueItems, ReleaseContents
from fedrec.release.keys import SigningKey
from fedrec.release.model_state import state_of

ITEMS, WIDTH, RANK, FACTORS = 90, 6, 7, 12
TABLE = {"recency": 0.4, "weight": 0.6, "popularity_weight": 0.2}
FOLD_IN = {"weight": 0.7, "rank": FACTORS, "unknown": 0.1, "ridge": 0.012}

# Closed forms alone, as preset auto leaves them; a table alone; towers of each kind, and one that reads the time.
KINDS: dict[str, dict[str, Any]] = {
    "closed": {
        "model": {"tower": False},
        "collaborative": {"fold_in": FOLD_IN, "scoring": {**TABLE, "weight": 1.0, "evidence": True}},
    },
    "plain": {"model": {"tower": False}, "collaborative": {"scoring": TABLE}},
    "popular": {"model": {"tower": False}, "collaborative": {"scoring": {**TABLE, "personal": False}}},
    "mean": {
        "model": {"notes": True, "context": True},
        "collaborative": {"fold_in": FOLD_IN, "scoring": {**TABLE, "evidence": True}},
    },
    **{
        kind: {"model": {"user_tower": kind, "history": 9}, "collaborative": {"scoring": TABLE}}
        for kind in ("recency", "gru", "attention")
    },
}


def write_case(directory: Path, kind: str) -> Path:
    """Write the release of that kind to ``directory``; titles are hostile, and one item has no content."""
    config = from_tree({**KINDS[kind], "run": {"name": kind}})
    rng = np.random.default_rng(len(kind))
    ids = tuple(f"item {place}" for place in rng.permutation(ITEMS))
    present = np.ones(ITEMS, dtype=np.bool_)
    present[3] = False
    text = np.where(present[:, None], rng.normal(size=(ITEMS, WIDTH)), 0).astype(np.float32)
    titles = tuple(f"</script><b>{name}</b>" if turn % 7 == 0 else name.title() for turn, name in enumerate(ids))
    items = CatalogueItems(ids, titles, {"text": text}, {"text": present})
    model = None
    if config.model.tower:
        made = Recommender(config.model, {"text": (WIDTH,)}, seed=2, temperature=0.1)
        for parameter in made.parameters():
            parameter.data += 0.3 * np.float32(1.0)
        model = state_of(made)
    factors = rng.normal(size=(ITEMS, FACTORS)) * np.linspace(0.1, 2.0, FACTORS)
    table = CollaborativeFactors(
        history=rng.normal(size=(ITEMS, RANK)).astype(np.float32),
        candidate=rng.normal(size=(ITEMS, RANK)).astype(np.float32),
        popularity=rng.pareto(1.0, size=ITEMS).astype(np.float32),
        factors=factors.astype(np.float32) if config.collaborative.fold_in else None,
    )
    contents = ReleaseContents(
        name=kind,
        items=items,
        model=model,
        collaborative=table,
        config=config.model_dump(mode="json"),
        privacy={"epsilon_released": 3.0},
        card="# A card\n",
    )
    write_release(directory, contents, key=SigningKey.fresh())
    return directory
