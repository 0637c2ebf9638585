"""Small models and batches, for contracts and for tests of ``fedrec.model``."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fedrec.config import Loss, ModelSettings
from fedrec.model.encoders import ID
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.registry import item_encoder
from fedrec.model.rows import ItemBatch, Rows

VOCABULARY = 20
SHAPES = {"text": (6,), "image": (5,), "attributes": (4,)}
PIXELS = (3, 8, 8)
SPECTRA = (1, 10, 6)
ITEMS = 12


def make_model(
    settings: ModelSettings, shapes: Mapping[str, tuple[int, ...]], *, seed: int = 3, shaken: float = 0.0
) -> Recommender:
    """A model; ``shaken`` moves every parameter at random, so that no zero start hides a mistake."""
    model = Recommender(settings, shapes, seed=seed, temperature=0.5, vocabulary=VOCABULARY, offset=True, items=ITEMS)
    if shaken:
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for value in model.parameters():
                value.add_(shaken * torch.randn(value.shape, generator=generator))
    return model


def features(
    settings: ModelSettings, modality: str, rows: int, items: int, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """Features of a modality as the settings' item encoder reads them: [rows, items, *shape].

    Token ids with padding behind, states of tokens, pictures from 0 to 1, or vectors, as the encoder and the shape say.
    """
    size = (rows, items, *shape)
    if modality == ID:
        return torch.randint(0, ITEMS, size, generator=generator)
    if item_encoder(settings, modality).reads_tokens:
        words = torch.randint(1, VOCABULARY, size, generator=generator)
        lengths = torch.randint(1, shape[0] + 1, (rows, items, 1), generator=generator)
        return words * (torch.arange(shape[0]) < lengths)
    if len(shape) == 2:
        states = torch.randn(size, generator=generator).half()
        lengths = torch.randint(1, shape[0] + 1, (rows, items, 1), generator=generator)
        return states * (torch.arange(shape[0]) < lengths).unsqueeze(-1)
    if len(shape) == 3:  # pictures, and spectra of sounds
        return torch.rand(size, generator=generator)
    return torch.randn(size, generator=generator)


def make_batch(
    settings: ModelSettings,
    shapes: Mapping[str, tuple[int, ...]],
    rows: int,
    items: int,
    generator: torch.Generator,
    only: str | None = None,
) -> ItemBatch:
    """Items of which about a quarter lack each modality and a fifth is padding. ``only``: the one that they have."""
    names = [name for name in shapes if only in (None, name)]
    return ItemBatch(
        {name: features(settings, name, rows, items, shapes[name], generator) for name in names},
        {name: torch.rand((rows, items), generator=generator) > 0.25 for name in names},
        torch.rand((rows, items), generator=generator) > 0.2,
    )


def make_rows(settings: ModelSettings, shapes: Mapping[str, tuple[int, ...]], rows: int = 5, seed: int = 0) -> Rows:
    """Row 0 is a user of whom nothing is known, row 1 has no positives, row 2 no negatives, row 3 no history."""
    generator = torch.Generator().manual_seed(seed)
    history = make_batch(settings, shapes, rows, 4, generator)
    notes = make_batch(settings, shapes, rows, 3, generator, "text") if settings.notes else None
    photos = make_batch(settings, shapes, rows, 2, generator, "image") if settings.photos else None
    candidates = make_batch(settings, shapes, rows, 7, generator)
    mask = torch.rand((rows, 7), generator=generator) > 0.2
    mask[1, :2], mask[2, 2:] = False, False
    for part in (history, notes, photos):
        if part is not None:
            part.mask[0] = False
    history.mask[3] = False
    return Rows(history, notes, photos, candidates, 2, mask)


def brute_force(model: Recommender, rows: Rows, kind: Loss = "sampled-softmax") -> dict[str, Tensor]:
    """The gradient of each row, by running that row alone: parameter name to [rows, *shape]."""
    found: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for i in range(rows.rows):
        alone = rows.select(slice(i, i + 1))
        loss = loss_per_row(kind, model(alone), alone).sum()
        values = torch.autograd.grad(loss, list(model.parameters()))
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: torch.stack(values) for name, values in found.items()}
