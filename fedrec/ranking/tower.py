"""The content tower at rest: item vectors computed once, then users against all of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fedrec.errors import ModelError
from fedrec.model.layers import unit
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch
from fedrec.ranking.users import Known, OwnContent
from fedrec.release.contents import FeatureTable

ITEM_CHUNK = 1024


class TowerScorer:
    """Scores users against the catalogue by content.

    Args:
        model: the shared model; it is only read.
        features: the catalogue's features.
        history: how many of a user's last events the tower reads.

    Raises:
        ModelError: the features lack a modality of the model, or have another shape.
    """

    def __init__(self, model: Recommender, features: FeatureTable, *, history: int) -> None:
        missing = [name for name in model.modalities if name not in features.values]
        if missing:
            raise ModelError(
                "the features lack a modality that the model reads",
                value=missing,
                action="Build the features with the run's content.modalities",
            )
        self.model = model
        self.features = features
        self.history = history
        self._vectors = {"": self._encode("")}

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the tower reads."""
        return self.model.modalities

    def vectors(self, without: str = "") -> Tensor:
        """Item vectors [items, dimension], with one modality masked if named; kept once computed.

        Raises:
            ModelError: the tower does not read that modality.
        """
        if without and without not in self.modalities:
            raise ModelError("the tower does not read that modality", value=without, action=f"One of {self.modalities}")
        if without not in self._vectors:
            self._vectors[without] = self._encode(without)
        return self._vectors[without]

    def scores(self, known: Known, *, without: str = "") -> NDArray[np.float32]:
        """Cosines of users and items, float32 [users, items]; with ``without`` as if that modality did not exist.

        A temperature or an offset would change nothing: one user's scores are compared with each other only.

        Raises:
            ModelError: own content of another shape than the model reads, or an adapter that is not finite.
        """
        vectors = self.vectors(without)
        with torch.inference_mode():
            return (self._users(known, vectors, without) @ vectors.T).numpy()

    def _users(self, known: Known, vectors: Tensor, without: str) -> Tensor:
        places, mask = known.histories.last(self.history)
        settings = self.model.settings
        users = self.model.encode_user(
            vectors[torch.from_numpy(places)],
            torch.from_numpy(mask),
            self._own(known.notes, "text") if settings.notes and without != "text" else None,
            self._own(known.photos, "image") if settings.photos and without != "image" else None,
            None if known.context is None else _tensor(known.context),
        )
        return users if known.adapter is None else unit(users + self._adapter(known.adapter))

    def _own(self, contents: OwnContent | None, modality: str) -> tuple[Tensor, Tensor] | None:
        """Vectors and mask of what users wrote or photographed."""
        if contents is None:
            return None
        values, mask = contents.padded()
        there = torch.from_numpy(mask)
        batch = ItemBatch(values={modality: _tensor(values)}, present={modality: there}, mask=there)
        return self.model.encode_items(batch), there

    def _adapter(self, adapter: NDArray[np.float32]) -> Tensor:
        if adapter.shape[1:] != (self.model.dimension,) or not np.isfinite(adapter).all():
            raise ModelError(
                f"an adapter is a finite vector of {self.model.dimension} per user",
                value=adapter.shape,
                action="Personalise again on the device, from this release",
            )
        return _tensor(np.asarray(adapter, dtype=np.float32))

    def _encode(self, without: str) -> Tensor:
        items = len(self.features.ids)
        starts = range(0, items, ITEM_CHUNK)
        with torch.inference_mode():
            found = [self.model.encode_items(self._batch(slice(s, s + ITEM_CHUNK), without))[0] for s in starts]
        return torch.cat(found) if found else torch.zeros((0, self.model.dimension))

    def _batch(self, items: slice, without: str) -> ItemBatch:
        read = [name for name in self.modalities if name != without]
        return ItemBatch(
            values={name: _tensor(self.features.values[name][None, items]) for name in read},
            present={name: _tensor(self.features.present[name][None, items]) for name in read},
            mask=torch.ones((1, len(self.features.ids[items])), dtype=torch.bool),
        )


def _tensor(values: NDArray[np.generic]) -> Tensor:
    """A tensor of the values; a copy where they are read-only, which torch cannot express."""
    return torch.from_numpy(values if values.flags.writeable else values.copy())
