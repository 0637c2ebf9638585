"""The content tower when it ranks: users against item vectors that were computed once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.model.adapter import Adapter
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch
from fedrec.ranking.item_vectors import ItemVectors, as_tensor
from fedrec.release.contents import FeatureTable
from fedrec.users import OwnContent, UserBatch


class TowerScorer(ItemVectors):
    """Scores users against the catalogue by content.

    Args:
        model: the shared model; it is only read.
        features: the catalogue's features.
        history: how many of a user's last events the tower reads.

    Raises:
        ModelError: the features lack a modality of the model, or have another shape.
    """

    def __init__(self, model: Recommender, features: FeatureTable, *, history: int) -> None:
        super().__init__(model, features)
        self.history = history

    def scores(self, users: UserBatch, *, without: str = "") -> NDArray[np.float32]:
        """Return cosines of users and items, float32 [users, items]; with ``without`` as if that modality did not
        exist.

        A temperature or an offset would change nothing: one user's scores are compared with each other only.

        Raises:
            ModelError: own content of another shape than the model reads, or an adapter that is not finite.
        """
        vectors = self.vectors(without)
        with torch.inference_mode():
            return (self._users(users, vectors, without) @ vectors.T).numpy()

    def _users(self, users: UserBatch, vectors: Tensor, without: str) -> Tensor:
        places, mask = users.histories.last(self.history)
        settings = self.model.settings
        found = self.model.encode_user(
            vectors[torch.from_numpy(places)],
            torch.from_numpy(mask),
            self._own(users.notes, "text") if settings.notes and without != "text" else None,
            self._own(users.photos, "image") if settings.photos and without != "image" else None,
            None if users.context is None else as_tensor(users.context),
        )
        return found if users.adapter is None else self._adapter(users.adapter)(found)

    def _own(self, contents: OwnContent | None, modality: str) -> tuple[Tensor, Tensor] | None:
        """Vectors and mask of what users wrote or photographed."""
        if contents is None:
            return None
        values, mask = contents.padded()
        there = torch.from_numpy(mask)
        batch = ItemBatch(values={modality: as_tensor(values)}, present={modality: there}, mask=there)
        return self.model.encode_items(batch), there

    def _adapter(self, adapter: NDArray[np.float32]) -> Adapter:
        if adapter.shape[1:] != (self.model.dimension,) or not np.isfinite(adapter).all():
            raise ModelError(
                f"an adapter is a finite vector of {self.model.dimension} per user",
                value=adapter.shape,
                action="Personalise again on the device, from this release",
            )
        return Adapter(as_tensor(np.asarray(adapter, dtype=np.float32)))
