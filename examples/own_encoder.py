"""A text encoder and a fusion of your own, registered from outside the package and used in two engines.

    python examples/own_encoder.py

The contract that both keep is checked in tests/examples/test_example_own_encoder.py, as yours can be in your tests.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fedrec.config import TextSettings, from_tree
from fedrec.console import open_reporter
from fedrec.content.encoder import Arrays, Encoded, Encoder, Meta, Progress, array_of
from fedrec.extend import register_encoder, register_fusion
from fedrec.model.fusion_weights import Fusion
from fedrec.model.layers import constant, masked_softmax
from fedrec.simulation.run import simulate
from fedrec.simulation.shop.generate import write_shop

SETTINGS: dict[str, Any] = {
    "run": {"name": "own encoder", "seed": 1},
    "content": {"text": {"encoder": "trigrams", "dimension": 64}, "image": {"dimension": 8}},
    "model": {"dimension": 8, "fusion": "by-coordinate"},
    "training": {"rounds": 2, "negatives": 16},
    "privacy": {"epsilon": 8.0},
    "secure_aggregation": {"minimum_cohort": 8, "minimum_survivors": 6},
    "speed": {"threads": 1},
}


@register_encoder("text", "trigrams")
class Trigrams(Encoder[str]):
    """Text to its triples of letters, counted in hashed columns; a triple counts less the more texts hold it."""

    modality, kind = "text", "trigrams"

    def __init__(self, rarity: np.ndarray) -> None:
        self.rarity = rarity

    @classmethod
    def fit(cls, batch: Sequence[str], settings: TextSettings) -> Self:
        seen = np.zeros(settings.dimension)
        for text in batch:
            seen[list(set(_columns(text, settings.dimension)))] += 1
        return cls(np.log((1 + len(batch)) / (1 + seen)).astype(np.float32) + np.float32(0.1))

    @property
    def name(self) -> str:
        return f"trigrams.1 columns={len(self.rarity)}"

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rarity),)

    def encode(self, batch: Sequence[str], *, progress: Progress | None = None) -> Encoded:
        found = self.empty(len(batch))
        for row, text in enumerate(batch):
            np.add.at(found.values[row], _columns(text, len(self.rarity)), 1)
        values = np.log1p(found.values) * self.rarity
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        return Encoded(values / np.maximum(lengths, np.float32(1e-9)), lengths[:, 0] > 0)

    def state(self) -> tuple[Arrays, Meta]:
        return {"rarity": self.rarity}, {}

    @classmethod
    def from_state(cls, arrays: Arrays, meta: Meta) -> Self:
        return cls(array_of(arrays, "rarity", (None,)))


def _columns(text: str, width: int) -> list[int]:
    letters = f" {' '.join(text.lower().split())} "
    return [zlib.crc32(letters[i : i + 3].encode()) % width for i in range(len(letters) - 2)]


@register_fusion("by-coordinate")
class ByCoordinate(Fusion):
    """A learned weight for each modality and coordinate: one modality may speak for taste, another for the season."""

    @classmethod
    def build(cls, modalities: int, dimension: int, generator: torch.Generator) -> Self:
        return cls(modalities, dimension)

    def __init__(self, modalities: int, dimension: int) -> None:
        super().__init__()
        self.logits = constant([[0.0]] * (modalities * dimension))

    def forward(self, vectors: Tensor, present: Tensor) -> Tensor:
        rows, _, modalities, dimension = vectors.shape
        logits = self.logits(vectors.new_ones((rows, 1))).view(rows, 1, dimension, modalities)
        weights = masked_softmax(logits, present.unsqueeze(2).expand(-1, -1, dimension, -1))
        return torch.einsum("rnkd,rndk->rnd", vectors, weights)


def main(out: Path) -> dict[str, dict[str, Any]]:
    """Simulate a tiny shop in both engines; engine -> the content of its run.json."""
    found = {}
    with open_reporter(silent=True) as reporter:
        write_shop(out / "shop", users=24, items=140, seed=1)
        for engine in ("cohort", "grid"):
            config = from_tree({**SETTINGS, "run": {**SETTINGS["run"], "engine": engine}})
            found[engine] = simulate(config, out / "shop", out / engine, reporter=reporter)
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        for engine, run in main(Path(directory)).items():
            print(engine, run["quality"]["loo-full"], run["privacy"]["epsilon_released"])
