"""What every item encoder is: a module from one modality's features to vectors of the item space.

A registered encoder (`fedrec.model.registry`, `fedrec.extend.register_item_encoder`) subclasses `ItemEncoder`.  It is
held to its contract by `fedrec.testing.ModelContract`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from fedrec.config import ModelSettings
from fedrec.model.item_table import Looked
from fedrec.model.subspace import Subspace


@dataclass(frozen=True)
class EncoderInputs:
    """What an item encoder is built from.

    Args:
        shape: of one item's feature.
        vocabulary: number of token ids, where features are token ids.
        place: the coordinates of the item space in which its vectors begin.
        settings: of the model; vectors have length ``settings.dimension``.
        generator: draws every initial value, and nothing else does.
    """

    shape: tuple[int, ...]
    vocabulary: int
    place: Subspace
    settings: ModelSettings
    generator: torch.Generator


class ItemEncoder(nn.Module, ABC):
    """Features [rows, items, ...] and ``real``, bool [rows, items] -> vectors [rows, items, dimension].

    A feature where ``real`` is False never reaches the result, not even one that is not finite.  No row sees another:
    every trained layer has rows as the first dimension of its input, and the encoder is called once a forward pass, so
    that per-row gradients by hooks are exact.

    ``flattens_rows``: it folds items into the batch, so that only ``torch.func`` gives per-row gradients.
    ``reads_tokens``: features are whole numbers that stand for something, never interpolated nor noised.
    ``keeps_width``: features have a width of their own to preserve, as ready features have: their share of the item
    space is at most that wide.  ``looks_up``: it looks at each item alone, and has a `read` and an `encode` for items
    that are looked up in a table.  ``has_frozen``: it has buffers that training leaves as they are.
    ``wants``, ``remedy``: the shape that it reads and what to set where features have another one, for people.
    """

    flattens_rows: ClassVar[bool] = False
    reads_tokens: ClassVar[bool] = False
    keeps_width: ClassVar[bool] = False
    looks_up: ClassVar[bool] = False
    has_frozen: ClassVar[bool] = False
    wants: ClassVar[str] = "a vector (width,)"
    remedy: ClassVar[str] = "Choose another encoder of the content, or another item encoder"

    @classmethod
    def reads(cls, shape: tuple[int, ...]) -> bool:
        """Whether it can read features of this shape."""
        return len(shape) == 1 and shape[0] > 0

    @classmethod
    def width_of(cls, shape: tuple[int, ...]) -> int:
        """The width of features of this shape, where it keeps one."""
        return shape[-1]

    @classmethod
    @abstractmethod
    def build(cls, inputs: EncoderInputs) -> ItemEncoder:
        """Build one for features of ``inputs.shape``, which it reads."""

    @abstractmethod
    def forward(self, values: Tensor, real: Tensor) -> Tensor:
        """See the class."""

    def read(self, values: Tensor) -> Tensor:
        """What is made of features [items, ...] before anything that is trained or broadcast; kept for all batches."""
        raise NotImplementedError

    def encode(self, items: Looked) -> Tensor:
        """What `forward` gives for the items that were looked up, of features as `read` made them; those of what is not
        real are made of zeros."""
        raise NotImplementedError
