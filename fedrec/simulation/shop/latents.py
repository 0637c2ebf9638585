"""The hidden truth of a shop: what items are, what users like, and how much they like it.

An item is ``[text part | visual part | hidden part | bias]``; a user has a direction of length 1 for each part; the
affinity is the weighted sum of the inner products plus the item's bias. This is a random-utility model with Gumbel
noise (McFadden 1974, "Conditional logit analysis of qualitative choice behavior", section III): a user picks item i
with a probability in proportion to ``exp(affinity)``.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TEXT_WIDTH, VISUAL_WIDTH, HIDDEN_WIDTH = 3, 3, 2
WIDTH = TEXT_WIDTH + VISUAL_WIDTH + HIDDEN_WIDTH
TEXT = slice(0, TEXT_WIDTH)
VISUAL = slice(TEXT_WIDTH, TEXT_WIDTH + VISUAL_WIDTH)
HIDDEN = slice(TEXT_WIDTH + VISUAL_WIDTH, WIDTH)
WEIGHTS = {"text": 4.0, "visual": 4.0, "hidden": 1.5}
BIAS_SPREAD = 0.4

Floats32 = NDArray[np.float32]
SCALE: Floats32 = np.repeat(
    np.array([WEIGHTS["text"], WEIGHTS["visual"], WEIGHTS["hidden"]], dtype=np.float32),
    (TEXT_WIDTH, VISUAL_WIDTH, HIDDEN_WIDTH),
)
"""The weight of each of the eight dimensions."""


def stream(seed: int, label: str, *places: int) -> np.random.Generator:
    """The random generator of one purpose, independent of every other (label, places) of the same seed."""
    return np.random.default_rng([seed, zlib.crc32(label.encode()), *places])


@dataclass(frozen=True, eq=False)
class LatentItems:
    """Latents of all items: ``parts`` float32 [items, 8] (standard normal), ``bias`` float32 [items]."""

    parts: Floats32
    bias: Floats32

    def __len__(self) -> int:
        return len(self.bias)


def draw_items(seed: int, count: int) -> LatentItems:
    """Items of a shop. They depend on the seed and their number only, never on the users."""
    parts = stream(seed, "item parts").standard_normal((count, WIDTH), dtype=np.float32)
    bias = BIAS_SPREAD * stream(seed, "item bias").standard_normal(count, dtype=np.float32)
    return LatentItems(parts=parts, bias=bias)


def draw_users(seed: int, count: int) -> Floats32:
    """Tastes of all users: float32 [users, 8], each of the three parts of length 1."""
    taste = stream(seed, "user tastes").standard_normal((count, WIDTH), dtype=np.float32)
    for part in (TEXT, VISUAL, HIDDEN):
        taste[:, part] /= np.linalg.norm(taste[:, part], axis=1, keepdims=True)
    return taste


def affinity(taste: Floats32, items: LatentItems) -> Floats32:
    """How much users like items: float32 [users, items], in units of the log-probability of a pick.

    The eight products are added one after the other instead of by a matrix product, so that the last bit, and with it
    who picked what, does not depend on the linear-algebra library or its threads.
    """
    scores = np.repeat(items.bias[None, :], len(taste), axis=0)
    product = np.empty_like(scores)
    for d in range(WIDTH):
        np.multiply(SCALE[d] * taste[:, d, None], items.parts[None, :, d], out=product)
        scores += product
    return scores
