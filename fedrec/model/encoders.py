"""Which item encoder each modality gets.

An item encoder is a module with ``flattens_rows``, ``reads_tokens`` and a forward pass from features
[rows, items, ...] and ``real`` (bool [rows, items]) to vectors [rows, items, dimension].  It never lets a feature
through where ``real`` is False, not even one that is not finite.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.encoder_head import Head, Subspace, subspaces
from fedrec.model.encoder_id import ItemIds
from fedrec.model.encoder_image import SmallCNN, SmallVGG
from fedrec.model.encoder_text import TextCNN, TextRecurrent
from fedrec.model.recurrent import GatedCell, MemoryCell

_PICTURES = ("cnn", "vgg")


def build_encoders(
    settings: ModelSettings,
    shapes: Mapping[str, tuple[int, ...]],
    vocabulary: int,
    generator: torch.Generator,
    items: int = 0,
) -> nn.ModuleDict:
    """One encoder a modality, in the order of ``shapes``. ``items``: of the catalogue, for the modality ``id``.

    Raises:
        ModelError: a feature shape that the modality's encoder cannot read, a vocabulary below 2, or ids of no items.
    """
    kinds = {name: _kind(settings, name) for name in shapes}
    for name, shape in shapes.items():
        _check(kinds[name], name, shape)
    if vocabulary < 2:
        raise ModelError("a vocabulary needs at least one word beside padding", value=vocabulary)
    if "id" in shapes and items < 1:
        raise ModelError("the modality id needs a catalogue of at least one item", value=items)
    # Features of an encoder trained from scratch have no width to preserve: it may use as much space as there is.
    widths = {name: shape[0] if kinds[name] == "head" else settings.dimension for name, shape in shapes.items()}
    # Vectors of ids start near zero everywhere, and so need no coordinates of their own.
    widths.pop("id", None)
    places = subspaces(widths, settings.dimension)
    if settings.fusion == "late":  # each modality has a vector of its own, side by side
        places = {name: Subspace(0, min(width, settings.dimension)) for name, width in widths.items()}
    return nn.ModuleDict(
        {
            name: ItemIds(items, settings.dimension, generator)
            if name == "id"
            else _build(kinds[name], shape, vocabulary, settings.dimension, places[name], generator)
            for name, shape in shapes.items()
        }
    )


def _build(
    kind: str, shape: tuple[int, ...], vocabulary: int, dimension: int, place: Subspace, generator: torch.Generator
) -> nn.Module:
    if kind == "textcnn":
        return TextCNN(vocabulary, dimension, place, generator)
    if kind in ("gru", "lstm"):
        cell = GatedCell if kind == "gru" else MemoryCell
        return TextRecurrent(cell, vocabulary, dimension, place, generator)
    if kind in _PICTURES:
        return (SmallCNN if kind == "cnn" else SmallVGG)(dimension, place, generator)
    return Head(shape[0], dimension, place, generator)


def _kind(settings: ModelSettings, modality: str) -> str:
    chosen = {"text": settings.text_encoder, "image": settings.image_encoder, "id": "id"}
    return chosen.get(modality, "head")


def _check(kind: str, modality: str, shape: tuple[int, ...]) -> None:
    least = SmallVGG.LEAST_SIDE if kind == "vgg" else 1
    picture = len(shape) == 3 and shape[0] == 3 and min(shape[1:]) >= least
    vector = len(shape) == 1 and shape[0] > 0
    if not (picture if kind in _PICTURES else vector):
        wanted = f"pixels (3, side, side), a side at least {least}," if kind in _PICTURES else "a vector (width,)"
        pixels = "Set content.image.encoder to pixels, or model.image_encoder to head"
        action = {
            **dict.fromkeys(_PICTURES, pixels),
            "head": "Set model.image_encoder to cnn or vgg for pixels",
        }.get(kind, "Set content.text.encoder to tokens, or model.text_encoder to head")
        raise ModelError(f"the encoder {kind} of {modality} reads {wanted}", value=shape, action=action)
