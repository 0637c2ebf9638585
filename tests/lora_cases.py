"""Small random states of tokens with a small random layer, in place of MiniLM's: what tests without the extra read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.content.feature_table import Features
from fedrec.model.lora_layer import PretrainedLayer

torch.set_num_threads(1)

TOKENS, WIDTH = 4, 64
LORA: dict[str, Any] = {"text_encoder": "minilm-lora", "lora_rank": 2, "notes": False}


def random_weights(seed: int = 0, width: int = WIDTH) -> dict[str, NDArray[np.float32]]:
    layer = PretrainedLayer(width, torch.Generator().manual_seed(seed))
    return {name: value.numpy() for name, value in layer.named_buffers()}


def random_states(items: int, seed: int = 1) -> NDArray[np.float16]:
    """[items, `TOKENS`, `WIDTH`] of one to all tokens each; the rest is zeros."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(items, TOKENS, WIDTH)).astype(np.float16)
    states[np.arange(TOKENS)[None] >= rng.integers(1, TOKENS + 1, items)[:, None]] = 0
    return states


def with_states(features: Features, seed: int = 1) -> Features:
    """The features with such states for text, where an item has a text."""
    present = features.present["text"]
    states = random_states(len(features), seed) * present[:, None, None]
    return replace(features, values={**features.values, "text": states}, weights={"text": random_weights(seed)})
