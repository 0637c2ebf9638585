"""Augmentation on the device: each round, a row sees slightly other pictures, words and features of its items.

A picture is mirrored or not and shifted, of a text some words are left out, of ready features some coordinates are set
to zero (the input noise of Srivastava et al. 2014, section 10, without rescaling: heads scale features to length 1).
What is drawn for an item depends on a key, the row and the item alone, so that a row is the same alone on a device as
among others, and one interaction changes its own row only.  Nothing of this happens when a device ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.config import Config
from fedrec.model.objective import TARGET
from fedrec.model.rows import ItemBatch
from fedrec.randomness import derived_key, fresh_key, key, prf_uint64

Bits = NDArray[np.uint64]
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Augment:
    """How items are changed in one round.

    ``strength``: above 0, at most 0.5: chance of a word or a coordinate to be left out, and how far a picture is
    shifted at most, as a share of its side.  ``key``: 32 bytes, of this device and round.  ``whole``: modalities that
    are left as they are.
    """

    strength: float
    key: bytes
    whole: frozenset[str] = frozenset()

    def batch(self, batch: ItemBatch, rows: Bits, places: NDArray[np.integer], part: str = "items") -> ItemBatch:
        """The batch with changed features. ``rows``: [rows], names of the rows.  ``places``: [rows, items], or
        [items] where all rows have the same, names of the items within ``part``."""
        shape = (len(rows), batch.items)
        named = np.broadcast_to(places.astype(np.uint64), shape)
        values = dict(batch.values)
        for name in values.keys() - self.whole:
            drawn = prf_uint64(derived_key(self.key, part, name), rows[:, None], named)
            values[name] = changed(values[name], drawn, self.strength)
        return ItemBatch(values, batch.present, batch.mask)


class Augmenting:
    """A learner's private stream of augmentations: from the run's seed where it is to be repeated, else secret."""

    def __init__(self, config: Config) -> None:
        self.strength = config.training.augment
        self.whole = frozenset({TARGET} if config.training.auxiliary else ())  # what is predicted stays as it is
        self._secret = key(config.run.seed, "augment") if config.run.reproducible else fresh_key()

    def of(self, *labels: str | int) -> Augment | None:
        """What is drawn under these labels (the round, and the step where there are several); None without any."""
        if not self.strength:
            return None
        return Augment(self.strength, derived_key(self._secret, *labels), self.whole)


def changed(values: Tensor, drawn: Bits, strength: float) -> Tensor:
    """Features [rows, items, ...] changed by 64 random bits for each item, [rows, items]; a copy."""
    if values.ndim == 5 and values.shape[2] == 3:
        return _moved(values, drawn, round(strength * values.shape[-1]))
    if values.ndim == 4:
        return _forgotten(values, drawn, strength)
    out = _chosen(drawn, int(np.prod(values.shape[2:])), strength).reshape(values.shape)
    if values.is_floating_point():
        return values.masked_fill(out, 0.0)
    return _shortened(values, out)


def _moved(pictures: Tensor, drawn: Bits, most: int) -> Tensor:
    """Pictures [rows, items, 3, side, side], mirrored and shifted by up to ``most`` pixels; edges are repeated."""
    span = np.uint64(2 * most + 1)
    across = _shift(drawn >> np.uint64(1), span, most)
    mirror = torch.from_numpy((drawn & np.uint64(1)).astype(np.bool_)).unsqueeze(-1)
    down = _shift(drawn >> np.uint64(32), span, most)
    column, row = torch.arange(pictures.shape[-1]), torch.arange(pictures.shape[-2])
    columns = torch.where(mirror, column.flip(0), column) + across
    columns, rows = columns.clamp(0, len(column) - 1), (row + down).clamp(0, len(row) - 1)
    wide = pictures.gather(-1, columns[:, :, None, None, :].expand(pictures.shape))
    return wide.gather(-2, rows[:, :, None, :, None].expand(pictures.shape))


def _shift(bits: Bits, span: np.uint64, most: int) -> Tensor:
    low = bits & np.uint64(2**31 - 1)
    return torch.from_numpy((low % span).astype(np.int64) - most).unsqueeze(-1)


def _forgotten(states: Tensor, drawn: Bits, strength: float) -> Tensor:
    """States of tokens [rows, items, tokens, width] with some tokens zeroed, which is padding; never the first one."""
    out = _chosen(drawn, states.shape[2], strength)
    out[..., 0] = False
    return states.masked_fill(out.unsqueeze(-1), 0.0)


def _shortened(words: Tensor, out: Tensor) -> Tensor:
    """Token ids without those to be left out, moved together; 0 is padding. One word is left of any text."""
    left = (words != 0) & ~out
    first = (words != 0) & ((words != 0).cumsum(-1) == 1)
    left = torch.where(left.any(-1, keepdim=True), left, first)
    order = torch.sort((~left).to(torch.uint8), dim=-1, stable=True).indices
    return words.masked_fill(~left, 0).gather(-1, order)


def _chosen(drawn: Bits, count: int, chance: float) -> Tensor:
    """Bool [rows, items, count], each True with a chance: the finaliser of SplitMix64 (Steele et al. 2014, figure 14),
    on a sequence that starts at the item's bits."""
    mixed = drawn[..., None] + _STEP * np.arange(1, count + 1, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return torch.from_numpy((mixed ^ (mixed >> np.uint64(31))) < np.uint64(int(chance * 2**64)))
