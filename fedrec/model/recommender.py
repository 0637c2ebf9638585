"""The shared two-tower model: items from their content, users from their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.encoders import build_encoders
from fedrec.model.fusion import build_fusion
from fedrec.model.layers import constant, unit
from fedrec.model.rows import ItemBatch, Rows
from fedrec.model.user_tower import Source, UserTower


class Recommender(nn.Module):
    """Scores candidates for users by content: logit = cosine(user, item) / temperature (+ offset).

    Every parameter sits in a leaf layer that sees rows as the first dimension of its input, and each encoder is called
    once a forward pass, so per-row gradients by Opacus' hooks are exact; where ``flattens_rows`` is True an encoder
    folds items into the batch and only ``torch.func`` gives them.

    Args:
        settings: what to build.
        shapes: modality to the shape of one item's feature; the order of the modalities is the order of declaration.
        seed: fixes every initial value; no global random state is read or changed.
        temperature: divides the cosine, above 0.
        vocabulary: number of token ids, where text is token ids.
        offset: learn one number added to all logits; for losses that judge logits one by one (`losses.wants_offset`).

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
    ) -> None:
        super().__init__()
        _check(settings, shapes, temperature)
        generator = torch.Generator().manual_seed(seed)
        self.settings = settings
        self.modalities = tuple(shapes)
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.dimension = settings.dimension
        self.temperature = temperature
        self.encoders = build_encoders(settings, shapes, vocabulary, generator)
        self.fusion = build_fusion(settings.fusion, len(shapes), settings.dimension, generator)
        self.tower = UserTower(notes=settings.notes, photos=settings.photos)
        self.offset = constant([[0.0]]) if offset else None

    @property
    def flattens_rows(self) -> bool:
        """Whether per-row gradients need ``torch.func`` instead of Opacus' hooks."""
        return any(bool(encoder.flattens_rows) for encoder in self.encoders.values())

    def encode_items(self, batch: ItemBatch) -> Tensor:
        """Item vectors [rows, items, dimension] of length 1; zero for padding and for an item without any modality.

        Modalities of the model that ``batch`` lacks count as missing.

        Raises:
            ModelError: features of another shape than the model was built for, or of a modality it does not know.
        """
        return self._encode([batch])[0]

    def encode_user(
        self, history: Tensor, mask: Tensor, notes: Source | None = None, photos: Source | None = None
    ) -> Tensor:
        """User vectors [rows, dimension] of length 1 from item vectors [rows, n, dimension] and masks [rows, n].

        A user of whom nothing is known has the zero vector, and so logit 0 for everything.
        """
        return self.tower((history, mask), notes, photos)  # type: ignore[no-any-return]

    def score(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits [rows, items] of user vectors [rows, dimension] for item vectors [rows, items, dimension]."""
        logits = torch.einsum("rd,rnd->rn", users, items) / self.temperature
        return logits if self.offset is None else logits + self.offset(users.new_ones((users.shape[0], 1)))

    def forward(self, rows: Rows) -> Tensor:
        """Logits [rows, candidates]; those of masked candidates mean nothing.

        Raises:
            ModelError: see `encode_items`.
        """
        notes = rows.notes if self.settings.notes else None
        photos = rows.photos if self.settings.photos else None
        history, candidates, *rest = self._encode(
            [rows.history, rows.candidates] + [part for part in (notes, photos) if part is not None]
        )
        user = self.encode_user(
            history,
            rows.history.mask,
            None if notes is None else (rest[0], notes.mask),
            None if photos is None else (rest[-1], photos.mask),
        )
        return self.score(user, candidates)

    def _encode(self, parts: Sequence[ItemBatch]) -> list[Tensor]:
        for part in parts:
            self._check_batch(part)
        sizes = [part.items for part in parts]
        vectors, present = [], []
        for name in self.modalities:
            real = torch.cat([_real(part, name) for part in parts], 1)
            vectors.append(self._encode_modality(name, parts, real))
            present.append(real)
        fused = self.fusion(torch.stack(vectors, 2), torch.stack(present, 2))
        return list(torch.split(unit(fused), sizes, 1))

    def _encode_modality(self, name: str, parts: Sequence[ItemBatch], real: Tensor) -> Tensor:
        """[rows, all items of the parts, dimension], from one call of the encoder; zeros for parts without it."""
        having = [part for part in parts if name in part.values]
        like = next(self.parameters())
        if not having:
            return like.new_zeros((*real.shape, self.dimension))
        encoded = self.encoders[name](
            torch.cat([part.values[name] for part in having], 1), torch.cat([_real(part, name) for part in having], 1)
        )
        if len(having) == len(parts):
            return encoded  # type: ignore[no-any-return]
        pieces = iter(torch.split(encoded, [part.items for part in having], 1))
        return torch.cat(
            [
                next(pieces) if name in part.values else encoded.new_zeros((part.rows, part.items, self.dimension))
                for part in parts
            ],
            1,
        )

    def _check_batch(self, batch: ItemBatch) -> None:
        unknown = [name for name in batch.values if name not in self.encoders]
        if unknown:
            raise ModelError(
                "features of a modality that the model was built without",
                value=unknown,
                action=f"Give only {', '.join(self.modalities)}",
            )
        for name, values in batch.values.items():
            if bool(self.encoders[name].reads_tokens) == (values.is_floating_point() or values.dtype == torch.uint8):
                raise ModelError(
                    f"features of {name} are of the wrong kind",
                    value=str(values.dtype),
                    action="Let content and model agree: token ids for gru and textcnn, numbers for head and cnn",
                )
            wanted = (*batch.mask.shape, *self.shapes[name])
            if tuple(values.shape) != wanted or name not in batch.present:
                raise ModelError(
                    f"features of {name} do not fit the model",
                    value=tuple(values.shape),
                    action=f"Give shape {wanted} with a presence mask; were they made by another encoder?",
                )


def _real(part: ItemBatch, name: str) -> Tensor:
    return part.present[name] & part.mask if name in part.values else torch.zeros_like(part.mask)


def _check(settings: ModelSettings, shapes: Mapping[str, tuple[int, ...]], temperature: float) -> None:
    if not shapes:
        raise ModelError("a model needs at least one modality", action="Name one in content.modalities")
    if not 0 < temperature < float("inf"):
        raise ModelError("the temperature must be above 0", value=temperature, action="Set training.temperature")
    for wanted, modality in ((settings.notes, "text"), (settings.photos, "image")):
        if wanted and modality not in shapes:
            raise ModelError(
                f"notes need the modality text and photos the modality image; {modality} is not in the model",
                value=sorted(shapes),
                action=f"Add {modality} to content.modalities, or switch that source off",
            )
