"""Small releases, and a device that ranks with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.client.ranker import recommend
from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.release.contents import CatalogueItems, ReleaseContents
from fedrec.release.keys import SigningKey

KEY = SigningKey.fresh()
ITEMS = 6
SEED = 7_305_921_846_113


def tiny(name: str = "shop", favourite: int = 1, **changes: Any) -> ReleaseContents:
    """A release that ranks by popularity, ``favourite`` first."""
    popularity = np.ones(ITEMS, dtype=np.float32)
    popularity[favourite] = 9
    items = CatalogueItems(
        ids=tuple(f"i{place}" for place in range(ITEMS)),
        titles=("",) * ITEMS,
        values={"text": np.eye(ITEMS, 4, dtype=np.float32)},
        present={"text": np.ones(ITEMS, dtype=np.bool_)},
    )
    table = dataclasses.replace(CollaborativeFactors.empty(ITEMS), popularity=popularity)
    config = {"collaborative": {"scoring": {"popularity_weight": 0.5}}}
    contents = ReleaseContents(name=name, items=items, model=None, collaborative=table, config=config)
    return dataclasses.replace(contents, **changes)


@dataclasses.dataclass(frozen=True)
class Place:
    """A device's store, the publisher's old and new release, and their public key."""

    store: Path
    old: Path
    new: Path
    key: Path

    def first(self, release: Path, **settings: Any) -> str:
        """What the device recommends first."""
        return recommend(release, self.store, "anna", 1, **settings)[0].item


def off(monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    monkeypatch.setattr(where, name, lambda *_, **__: None)
