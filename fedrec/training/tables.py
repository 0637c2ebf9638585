"""The catalogue's features as tensors, and batches of items gathered from them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fedrec.content.feature_table import Features
from fedrec.model.item_table import InTable, ItemTable
from fedrec.model.rows import ItemBatch
from fedrec.users import OwnContent


class Tables:
    """Features of a catalogue, ready to be gathered. Shared by all rows; made once."""

    def __init__(self, features: Features) -> None:
        self.items = len(features.ids)
        self.table = ItemTable(
            {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in features.values.items()},
            {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in features.present.items()},
        )

    def batch(self, places: NDArray[np.integer], mask: NDArray[np.bool_], shared: int = 0) -> ItemBatch:
        """The items at ``places`` [rows, items]; where ``mask`` is False the place is not read as an item.

        ``shared``: how many of the last columns are the same in all rows.
        """
        index = torch.from_numpy(np.where(mask, places, 0).astype(np.int64))
        return ItemBatch.of_table(InTable(self.table, index, shared), torch.from_numpy(mask))


def own_batch(contents: OwnContent, modality: str, most: int = 16) -> ItemBatch:
    """Gather the first ``most`` private pieces of each user as a batch of one modality, [users, up to most]."""
    values, there = contents.padded(most)
    mask = torch.from_numpy(there)
    return ItemBatch({modality: torch.from_numpy(np.ascontiguousarray(values))}, {modality: mask}, mask)
