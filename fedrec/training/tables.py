"""The catalogue's features as tensors, and batches of items gathered from them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.content.feature_table import Features
from fedrec.model.rows import ItemBatch
from fedrec.training.population import Pieces


class Tables:
    """Features of a catalogue, ready to be gathered. Shared by all rows; made once."""

    def __init__(self, features: Features) -> None:
        self.items = len(features.ids)
        self.values = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in features.values.items()}
        self.present = {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in features.present.items()}

    def batch(self, places: NDArray[np.integer], mask: NDArray[np.bool_]) -> ItemBatch:
        """The items at ``places`` [rows, items]; where ``mask`` is False the place is not read as an item."""
        index = torch.from_numpy(np.where(mask, places, 0).astype(np.int64))
        return ItemBatch(
            values={name: value[index] for name, value in self.values.items()},
            present={name: value[index] for name, value in self.present.items()},
            mask=torch.from_numpy(mask),
        )


def pieces_batch(pieces: Pieces, modality: str, most: int = 16) -> ItemBatch:
    """The first ``most`` private pieces of each user as a batch of one modality, [users, up to most]."""
    counts = np.minimum(np.diff(pieces.indptr), most)
    width = max(1, int(counts.max(initial=0)))
    column = np.arange(width)
    mask = torch.from_numpy(column[None, :] < counts[:, None])
    places = np.minimum(pieces.indptr[:-1, None] + column[None, :], max(0, len(pieces.values) - 1))
    if len(pieces.values):
        values: Tensor = torch.from_numpy(np.ascontiguousarray(pieces.values[places]))
    else:
        values = torch.from_numpy(np.zeros((*mask.shape, *pieces.values.shape[1:]), pieces.values.dtype))
    return ItemBatch({modality: values}, {modality: mask}, mask)
