"""A tiny release and a store with users of every kind, for the tests of ranking on a device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fedrec.collaborative.collaborative_factors import CollaborativeFactors
from fedrec.config import Config
from fedrec.content.catalogue import Catalogue
from fedrec.content.features import build_features
from fedrec.content.registry import encoder_to_bytes
from fedrec.data.schema import ItemRecord
from fedrec.model.recommender import Recommender
from fedrec.release.contents import ReleaseContents
from fedrec.release.model_state import state_of

COLOURS = {"red": (220, 20, 20), "blue": (20, 20, 220)}


KINDS = ("shirt", "lamp", "mug", "tent", "shoe", "chair")


CONFIG = {
    "content": {"text": {"dimension": 8, "vocabulary": 300}, "image": {"dimension": 8}},
    "model": {"dimension": 8, "notes": True, "photos": True},
    "collaborative": {"scoring": {"weight": 0.3, "popularity_weight": 0.1}},
}


@dataclass(frozen=True)
class Place:
    """Where the tiny release and store lie, and what they were made of."""

    release: Path
    store: Path
    key: Path
    other_key: Path
    titles: dict[str, str]


def a_picture(path: Path, colour: str) -> Path:
    Image.new("RGB", (32, 32), COLOURS[colour]).save(path)
    return path


def tiny_contents(directory: Path, config: Config) -> ReleaseContents:
    items = tuple(
        ItemRecord(
            id=f"{colour}-{kind}",
            title=f"{colour.title()} {kind}",
            text=f"A {colour} {kind} made of {colour} material for people who like {kind}s",
            attributes={"kind": (kind,)},
            image=a_picture(directory / f"{colour}-{kind}.png", colour),
        )
        for colour in COLOURS
        for kind in KINDS
    )
    features, encoders = build_features(Catalogue.of(items), config.content)
    model = Recommender(config.model, features.shapes, seed=1, temperature=0.1)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, len(items), 3)).astype(np.float32)
    factors = CollaborativeFactors(table[0], table[1], np.arange(len(items), dtype=np.float32))
    return ReleaseContents(
        name="tiny",
        items=features,
        model=state_of(model),
        collaborative=factors,
        encoders={modality: encoder_to_bytes(one) for modality, one in encoders.items()},
        config=config.model_dump(mode="json"),
        privacy={"epsilon_released": None},
    )
