"""The content tower's item vectors at rest: the whole catalogue encoded once. What a server may compute as well."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch
from fedrec.release.contents import FeatureTable

ITEM_CHUNK = 1024


class ItemVectors:
    """Vectors of a catalogue's items, kept once computed.

    Args:
        model: the shared model; it is only read.
        features: the catalogue's features.

    Raises:
        ModelError: the features lack a modality of the model, or have another shape.
    """

    def __init__(self, model: Recommender, features: FeatureTable) -> None:
        missing = [name for name in model.modalities if name not in features.values]
        if missing:
            raise ModelError(
                "the features lack a modality that the model reads",
                value=missing,
                action="Build the features with the run's content.modalities",
            )
        self.model = model
        self.features = features
        self._vectors = {"": self._encode("")}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the tower reads."""
        return self.model.modalities

    def vectors(self, without: str = "") -> Tensor:
        """Return item vectors [items, dimension], with one modality masked if named.

        Raises:
            ModelError: the tower does not read that modality.
        """
        if without and without not in self.modalities:
            raise ModelError("the tower does not read that modality", value=without, action=f"One of {self.modalities}")
        if without not in self._vectors:
            self._vectors[without] = self._encode(without)
        return self._vectors[without]

    def _encode(self, without: str) -> Tensor:
        items = len(self.features.ids)
        starts = range(0, items, ITEM_CHUNK)
        with torch.inference_mode():
            found = [self.model.encode_items(self._batch(slice(s, s + ITEM_CHUNK), without))[0] for s in starts]
        return torch.cat(found) if found else torch.zeros((0, self.model.dimension))

    def _batch(self, items: slice, without: str) -> ItemBatch:
        read = [name for name in self.modalities if name != without]
        return ItemBatch(
            values={name: as_tensor(self.features.values[name][None, items]) for name in read},
            present={name: as_tensor(self.features.present[name][None, items]) for name in read},
            mask=torch.ones((1, len(self.features.ids[items])), dtype=torch.bool),
        )


def as_tensor(values: NDArray[np.generic]) -> Tensor:
    """Return a tensor of the values; of a copy where they are read-only, which torch cannot express."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
