"""The shared two-tower model: items from their content, users from their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.clock import WIDTH
from fedrec.model.encoder_head import Head
from fedrec.model.encoders import build_encoders
from fedrec.model.fused_table import FusedTable, Heads
from fedrec.model.fusion import MeanFusion, WeightedFusion, build_fusion, fused_width
from fedrec.model.item_encoder import ItemEncoder
from fedrec.model.item_table import look_up, look_up_all
from fedrec.model.layers import constant, linear, unit
from fedrec.model.rows import ItemBatch, Rows
from fedrec.model.user_tower import Source, UserTower, build_history


@dataclass(frozen=True, eq=False)
class ForwardOutput:
    """What a forward pass saw of each row.

    ``logits``: [rows, candidates].  ``own``: vectors [rows, n, width] of the row's own items, history first and then
    the positives; ``modal``: their modalities' vectors before fusion, [rows, n, k, dimension]; ``present``: bool
    [rows, n, k], which of these there are.
    """

    logits: Tensor
    own: Tensor
    modal: Tensor
    present: Tensor


class Recommender(nn.Module):
    """Scores candidates for users by content: logit = cosine(user, item) / temperature (+ offset).

    Every parameter sits in a leaf layer that sees rows as the first dimension of its input, and each encoder is called
    once a forward pass, so per-row gradients by Opacus' hooks are exact.  An encoder that folded items into the batch
    would say so (``flattens_rows``), and only ``torch.func`` would give them; none of ours does.

    Args:
        settings: what to build.
        shapes: modality to the shape of one item's feature; the order of the modalities is the order of declaration.
            Those that ``settings.reads`` leaves out may be in a batch, and are not read.
        seed: fixes every initial value; no global random state is read or changed.
        temperature: divides the cosine, above 0.
        vocabulary: number of token ids, where text is token ids.
        offset: learn one number added to all logits; for losses that judge logits one by one (`losses.wants_offset`).
        auxiliary: learn to predict an item's attributes from its vector, see `objective`.
        items: how many the catalogue has, where the modality ``id`` is among the shapes.

    ``dimension`` is the length of item and user vectors: ``settings.dimension``, times the number of modalities where
    fusion is ``late``.

    Raises:
        ModelError: no modality, a feature shape that the chosen encoder cannot read, notes without the modality
            text or photos without image, or a temperature that is not above 0.
    """

    def __init__(
        self,
        settings: ModelSettings,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        seed: int,
        temperature: float,
        vocabulary: int = 4096,
        offset: bool = False,
        auxiliary: bool = False,
        items: int = 0,
    ) -> None:
        super().__init__()
        read = {name: shape for name, shape in shapes.items() if not settings.reads or name in settings.reads}
        _check(settings, read, temperature)
        generator = torch.Generator().manual_seed(seed)
        self.settings = settings
        self.modalities = tuple(read)
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dimension = fused_width(settings.fusion, len(read), settings.dimension)
        self.temperature = temperature
        self.items = items
        self.encoders = build_encoders(settings, read, vocabulary, generator, items)
        self.fused_table = FusedTable()
        self.fusion = build_fusion(settings.fusion, len(read), settings.dimension, generator)
        history = build_history(settings.user_tower, self.dimension, generator)
        self.tower = UserTower(history, notes=settings.notes, photos=settings.photos)
        self.offset = constant([[0.0]]) if offset else None
        self.context = constant([[0.0] * WIDTH] * self.dimension) if settings.context else None
        self.auxiliary = _auxiliary(shapes, self.dimension, generator) if auxiliary else None

    @property
    def flattens_rows(self) -> bool:
        """Whether per-row gradients need ``torch.func`` instead of Opacus' hooks."""
        return any(bool(encoder.flattens_rows) for encoder in self.encoders.values())

    @property
    def fuses_tables(self) -> bool:
        """Whether item vectors are made once an item, and handed out to rows from a table (`FusedTable`)."""
        heads = all(type(encoder) is Head for encoder in self.encoders.values())
        return heads and type(self.fusion) in (MeanFusion, WeightedFusion)

    def encode_items(self, batch: ItemBatch) -> Tensor:
        """Item vectors [rows, items, dimension] of length 1; zero for padding and for an item without any modality.

        Modalities of the model that ``batch`` lacks count as missing.

        Raises:
            ModelError: features of another shape than the model was built for, or of a modality it does not know.
        """
        return self._encode([batch])[0]

    def encode_user(
        self,
        history: Tensor,
        mask: Tensor,
        notes: Source | None = None,
        photos: Source | None = None,
        context: Tensor | None = None,
    ) -> Tensor:
        """User vectors [rows, dimension] of length 1 from item vectors [rows, n, dimension] and masks [rows, n].

        A user of whom nothing is known has the zero vector, and so logit 0 for everything.  ``context``: [rows, 4],
        see `fedrec.model.clock`; None, or a model without it = no time is known.
        """
        users: Tensor = self.tower((history, mask), notes, photos)
        return users if self.context is None or context is None else unit(users + self.context(context))

    def score(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits [rows, items] of user vectors [rows, dimension] for item vectors [rows, items, dimension]."""
        # In this order slopes at the items come out as the items lie in memory.
        logits = (items @ users.unsqueeze(-1)).squeeze(-1) / self.temperature
        return logits if self.offset is None else logits + self.offset(users.new_ones((users.shape[0], 1)))

    def forward(self, rows: Rows) -> Tensor:
        """Logits [rows, candidates]; those of masked candidates mean nothing.

        Raises:
            ModelError: see `encode_items`.
        """
        parts = self._parts(rows)
        vectors = self._encode(parts)
        return self.score(self._user(rows, vectors), vectors[1])

    def see(self, rows: Rows) -> ForwardOutput:
        """The same, with what losses other than the recommendation's own look at."""
        parts = self._parts(rows)
        modal, present = self._encode_modalities(parts)
        vectors = self._fuse(modal, present, parts)
        own = rows.history.items + rows.positives
        learned = vectors[1][:, : rows.positives]
        logits = self.score(self._user(rows, vectors), vectors[1])
        return ForwardOutput(logits, torch.cat([vectors[0], learned], 1), modal[:, :own], present[:, :own])

    def _parts(self, rows: Rows) -> list[ItemBatch]:
        """History, candidates, and what there is of the sources that are read: notes, then photos."""
        notes = rows.notes if self.settings.notes else None
        photos = rows.photos if self.settings.photos else None
        return [rows.history, rows.candidates] + [part for part in (notes, photos) if part is not None]

    def _user(self, rows: Rows, vectors: Sequence[Tensor]) -> Tensor:
        """User vectors from the vectors of `_parts`."""
        notes = rows.notes if self.settings.notes else None
        photos = rows.photos if self.settings.photos else None
        return self.encode_user(
            vectors[0],
            rows.history.mask,
            None if notes is None else (vectors[2], notes.mask),
            None if photos is None else (vectors[-1], photos.mask),
            rows.context,
        )

    def _encode(self, parts: Sequence[ItemBatch]) -> list[Tensor]:
        found = self._from_table(parts)
        return self._fuse(*self._encode_modalities(parts), parts) if found is None else found

    def _from_table(self, parts: Sequence[ItemBatch]) -> list[Tensor] | None:
        """The vectors of each part where all are of one table and the model is one that `FusedTable` knows, else None;
        what `_fuse` gives up to rounding."""
        origins = [part.origin for part in parts if part.origin is not None]
        if len(origins) < len(parts) or not self.fuses_tables or not set(self.modalities) <= set(parts[0].values):
            return None
        encoders = {name: encoder for name, encoder in self.encoders.items() if isinstance(encoder, Head)}
        for part in parts:
            self._check_batch(part)
        readings = {name: encoder.read for name, encoder in encoders.items()}
        mask = torch.cat([part.mask for part in parts], 1)
        looked = look_up_all(readings, origins, mask, next(self.parameters()).dtype)
        if looked is None:
            return None
        layers = [encoder.linear for encoder in encoders.values()]
        logits = self.fusion.logits if isinstance(self.fusion, WeightedFusion) else None
        vectors = self.fused_table(Heads(layers, *looked, logits))
        return list(torch.split(vectors, [part.items for part in parts], 1))

    def _fuse(self, modal: Tensor, present: Tensor, parts: Sequence[ItemBatch]) -> list[Tensor]:
        return list(torch.split(unit(self.fusion(modal, present)), [part.items for part in parts], 1))

    def _encode_modalities(self, parts: Sequence[ItemBatch]) -> tuple[Tensor, Tensor]:
        """Vectors [rows, all items of the parts, k, dimension of a modality] and which are there, bool [.., k]."""
        for part in parts:
            self._check_batch(part)
        vectors, present = [], []
        for name in self.modalities:
            real = torch.cat([_real(part, name) for part in parts], 1)
            vectors.append(self._encode_modality(name, parts, real))
            present.append(real)
        return torch.stack(vectors, 2), torch.stack(present, 2)

    def _encode_modality(self, name: str, parts: Sequence[ItemBatch], real: Tensor) -> Tensor:
        """[rows, all items of the parts, dimension], from one call of the encoder; zeros for parts without it."""
        having = [part for part in parts if name in part.values]
        like = next(self.parameters())
        if not having:
            return like.new_zeros((*real.shape, self.settings.dimension))
        there = real if len(having) == len(parts) else torch.cat([_real(part, name) for part in having], 1)
        encoder: Any = self.encoders[name]
        origins = [part.origin for part in having if part.origin is not None]
        looked = None
        if isinstance(encoder, ItemEncoder) and encoder.looks_up and len(origins) == len(having):
            looked = look_up(name, origins, there, like.dtype, encoder.read)
        if looked is not None:
            encoded = encoder.encode(looked)
        else:
            encoded = encoder(torch.cat([part.values[name] for part in having], 1), there)
        if len(having) == len(parts):
            return encoded  # type: ignore[no-any-return]
        pieces = iter(torch.split(encoded, [part.items for part in having], 1))
        return torch.cat(
            [
                next(pieces) if name in part.values else encoded.new_zeros((*part.mask.shape, encoded.shape[-1]))
                for part in parts
            ],
            1,
        )

    def _check_batch(self, batch: ItemBatch) -> None:
        unknown = [name for name in batch.values if name not in self.shapes]
        if unknown:
            raise ModelError(
                "features of a modality that the model was built without",
                value=unknown,
                action=f"Give only {', '.join(self.shapes)}",
            )
        for name, (dtype, shape) in batch.kinds().items():
            if name in self.encoders and bool(self.encoders[name].reads_tokens) == (
                dtype.is_floating_point or dtype == torch.uint8
            ):
                raise ModelError(
                    f"features of {name} are of the wrong kind",
                    value=str(dtype),
                    action="Let content and model agree: token ids for gru, lstm, textcnn, places for id, numbers else",
                )
            wanted = (*batch.mask.shape, *self.shapes[name])
            if shape != wanted or name not in batch.present:
                raise ModelError(
                    f"features of {name} do not fit the model",
                    value=shape,
                    action=f"Give shape {wanted} with a presence mask; were they made by another encoder?",
                )


def _real(part: ItemBatch, name: str) -> Tensor:
    return part.present[name] & part.mask if name in part.values else torch.zeros_like(part.mask)


def _auxiliary(shapes: Mapping[str, tuple[int, ...]], dimension: int, generator: torch.Generator) -> nn.Linear:
    if "attributes" not in shapes:
        raise ModelError(
            "the auxiliary task predicts attributes, and the content has none",
            value=sorted(shapes),
            action="Add attributes to content.modalities, or set training.auxiliary=0",
        )
    return linear(dimension, shapes["attributes"][0], bias=True, generator=generator, scale=0.3)


def _check(settings: ModelSettings, shapes: Mapping[str, tuple[int, ...]], temperature: float) -> None:
    if not shapes:
        raise ModelError("a model needs at least one modality", action="Name one in content.modalities and model.reads")
    if not 0 < temperature < float("inf"):
        raise ModelError("the temperature must be above 0", value=temperature, action="Set training.temperature")
    for wanted, modality in ((settings.notes, "text"), (settings.photos, "image")):
        if wanted and modality not in shapes:
            raise ModelError(
                f"notes need the modality text and photos the modality image; {modality} is not in the model",
                value=sorted(shapes),
                action=f"Add {modality} to content.modalities, or switch that source off",
            )
