"""Small models and batches for the tests of ``fedrec.model``."""

from __future__ import annotations

import torch
from torch import Tensor

from fedrec.config import ModelSettings
from fedrec.model.losses import loss_per_row
from fedrec.model.recommender import Recommender
from fedrec.model.rows import ItemBatch, Rows

torch.set_num_threads(1)

VOCABULARY = 20
SHAPES = {"text": (6,), "image": (5,), "attributes": (4,)}
PIXELS = (3, 8, 8)
SPECTRA = (1, 10, 6)
ITEMS = 12


def make_model(
    settings: ModelSettings, shapes: dict[str, tuple[int, ...]], *, seed: int = 3, shaken: float = 0.0
) -> Recommender:
    """A model; ``shaken`` moves every parameter at random, so that no zero start hides a mistake."""
    model = Recommender(settings, shapes, seed=seed, temperature=0.5, vocabulary=VOCABULARY, offset=True, items=ITEMS)
    if shaken:
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            for value in model.parameters():
                value += shaken * torch.randn(value.shape, generator=generator)
    return model


def features(kind: str, rows: int, items: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if kind in ("textcnn", "gru", "lstm"):
        words = torch.randint(1, VOCABULARY, (rows, items, *shape), generator=generator)
        lengths = torch.randint(1, shape[0] + 1, (rows, items, 1), generator=generator)
        return words * (torch.arange(shape[0]) < lengths)
    if kind == "minilm-lora":
        states = torch.randn((rows, items, *shape), generator=generator).half()
        lengths = torch.randint(1, shape[0] + 1, (rows, items, 1), generator=generator)
        return states * (torch.arange(shape[0]) < lengths).unsqueeze(-1)
    if kind == "id":
        return torch.randint(0, ITEMS, (rows, items, *shape), generator=generator)
    if kind in ("cnn", "vgg"):  # of pictures and of sounds
        return torch.rand((rows, items, *shape), generator=generator)
    return torch.randn((rows, items, *shape), generator=generator)


def make_batch(
    settings: ModelSettings,
    shapes: dict[str, tuple[int, ...]],
    rows: int,
    items: int,
    generator: torch.Generator,
    only: str | None = None,
) -> ItemBatch:
    kinds = {
        "text": settings.text_encoder,
        "image": settings.image_encoder,
        "audio": settings.audio_encoder,
        "id": "id",
    }
    names = [name for name in shapes if only in (None, name)]
    return ItemBatch(
        {name: features(kinds.get(name, "head"), rows, items, shapes[name], generator) for name in names},
        {name: torch.rand((rows, items), generator=generator) > 0.25 for name in names},
        torch.rand((rows, items), generator=generator) > 0.2,
    )


def make_rows(settings: ModelSettings, shapes: dict[str, tuple[int, ...]], rows: int = 5, seed: int = 0) -> Rows:
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


def brute_force(model: Recommender, rows: Rows, kind: str = "sampled-softmax") -> dict[str, Tensor]:
    """The gradient of each row, by running that row alone: parameter name to [rows, *shape]."""
    found: dict[str, list[Tensor]] = {name: [] for name, _ in model.named_parameters()}
    for i in range(rows.rows):
        alone = rows.select(slice(i, i + 1))
        loss = loss_per_row(kind, model(alone), alone).sum()
        values = torch.autograd.grad(loss, list(model.parameters()))
        for name, value in zip(found, values, strict=True):
            found[name].append(value)
    return {name: torch.stack(values) for name, values in found.items()}
