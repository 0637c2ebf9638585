"""Which item encoder each modality gets: what the settings name, see `fedrec.model.item_encoder` for what it owes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from fedrec.config import ModelSettings
from fedrec.errors import ModelError
from fedrec.model.encoder_id import ItemIds
from fedrec.model.item_encoder import EncoderInputs, ItemEncoder
from fedrec.model.registry import FUSIONS, item_encoder, item_encoder_name
from fedrec.model.subspace import Subspace, subspaces

ID = "id"


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
    kinds = {name: item_encoder(settings, name) for name in shapes if name != ID}
    for name, kind in kinds.items():
        _check(kind, settings, name, shapes[name])
    if vocabulary < 2:
        raise ModelError("a vocabulary needs at least one word beside padding", value=vocabulary)
    if ID in shapes and items < 1:
        raise ModelError("the modality id needs a catalogue of at least one item", value=items)
    places = _places(settings, kinds, shapes)
    return nn.ModuleDict(
        {
            name: ItemIds(items, settings.dimension, generator)
            if name == ID
            else kinds[name].build(EncoderInputs(shape, vocabulary, places[name], settings, generator))
            for name, shape in shapes.items()
        }
    )


def _places(
    settings: ModelSettings, kinds: Mapping[str, type[ItemEncoder]], shapes: Mapping[str, tuple[int, ...]]
) -> Mapping[str, Subspace]:
    """Where each modality begins. Vectors of ids start near zero everywhere, so need no coordinates of their own."""
    # Features of an encoder trained from scratch have no width to preserve: it may use as much space as there is.
    widths = {
        name: kind.width_of(shapes[name]) if kind.keeps_width else settings.dimension for name, kind in kinds.items()
    }
    if FUSIONS[settings.fusion].side_by_side:
        return {name: Subspace(0, min(width, settings.dimension)) for name, width in widths.items()}
    return subspaces(widths, settings.dimension)


def _check(kind: type[ItemEncoder], settings: ModelSettings, modality: str, shape: tuple[int, ...]) -> None:
    if not kind.reads(shape):
        name = item_encoder_name(settings, modality)
        raise ModelError(f"the encoder {name} of {modality} reads {kind.wants}", value=shape, action=kind.remedy)
