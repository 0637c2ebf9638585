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
from fedrec.model.encoder_lora import LoraText
from fedrec.model.encoder_low_rank import LowRankHead
from fedrec.model.encoder_sound import SoundCNN
from fedrec.model.encoder_text import TextCNN, TextRecurrent
from fedrec.model.lora_layer import HEAD
from fedrec.model.recurrent import GatedCell, MemoryCell

_PICTURES = ("cnn", "vgg")
_SOUND = "sound-cnn"
_LORA = "minilm-lora"


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
    whole = ("head", _LORA)
    widths = {name: shape[-1] if kinds[name] in whole else settings.dimension for name, shape in shapes.items()}
    # Vectors of ids start near zero everywhere, and so need no coordinates of their own.
    widths.pop("id", None)
    places = subspaces(widths, settings.dimension)
    if settings.fusion == "late":  # each modality has a vector of its own, side by side
        places = {name: Subspace(0, min(width, settings.dimension)) for name, width in widths.items()}
    return nn.ModuleDict(
        {
            name: ItemIds(items, settings.dimension, generator)
            if name == "id"
            else _build(kinds[name], shape, vocabulary, settings, places[name], generator)
            for name, shape in shapes.items()
        }
    )


def _build(
    kind: str,
    shape: tuple[int, ...],
    vocabulary: int,
    settings: ModelSettings,
    place: Subspace,
    generator: torch.Generator,
) -> nn.Module:
    dimension = settings.dimension
    if kind == "textcnn":
        return TextCNN(vocabulary, dimension, place, generator)
    if kind in ("gru", "lstm"):
        cell = GatedCell if kind == "gru" else MemoryCell
        return TextRecurrent(cell, vocabulary, dimension, place, generator)
    if kind == _LORA:
        return LoraText(_head(shape[1], settings, place, generator), settings.lora_rank, generator)
    if kind == _SOUND:
        return SoundCNN(shape[1], dimension, place, generator)
    if kind in _PICTURES:
        return (SmallCNN if kind == "cnn" else SmallVGG)(dimension, place, generator)
    return _head(shape[0], settings, place, generator)


def _head(width: int, settings: ModelSettings, place: Subspace, generator: torch.Generator) -> Head | LowRankHead:
    if 0 < settings.head_rank < width:  # from there on, a low rank is none
        return LowRankHead(width, settings.dimension, settings.head_rank, place, generator)
    return Head(width, settings.dimension, place, generator)


def _kind(settings: ModelSettings, modality: str) -> str:
    sound = _SOUND if settings.audio_encoder == "cnn" else settings.audio_encoder
    chosen = {"text": settings.text_encoder, "image": settings.image_encoder, "audio": sound, "id": "id"}
    return chosen.get(modality, "head")


def _check(kind: str, modality: str, shape: tuple[int, ...]) -> None:
    least = SmallVGG.LEAST_SIDE if kind == "vgg" else 1
    channels = 1 if kind == _SOUND else 3
    picture = len(shape) == 3 and shape[0] == channels and min(shape[1:]) >= least
    vector = len(shape) == 1 and shape[0] > 0
    states = len(shape) == 2 and min(shape) > 0 and shape[1] % HEAD == 0
    drawn = kind in (*_PICTURES, _SOUND)
    if not (picture if drawn else states if kind == _LORA else vector):
        wanted = f"pixels ({channels}, height, width), a side at least {least}," if drawn else "a vector (width,)"
        wanted = f"states (tokens, a multiple of {HEAD})" if kind == _LORA else wanted
        pixels = "Set content.image.encoder to pixels, or model.image_encoder to head"
        action = {
            **dict.fromkeys(_PICTURES, pixels),
            _SOUND: "Set content.audio.encoder to logmel, or model.audio_encoder to head",
            _LORA: "Set content.text.encoder to minilm-states, or model.text_encoder to head",
            "head": "Set model.image_encoder to cnn or vgg for pixels, model.audio_encoder to cnn for logmel, "
            "model.text_encoder to minilm-lora for minilm-states",
        }.get(kind, "Set content.text.encoder to tokens, or model.text_encoder to head")
        raise ModelError(f"the encoder {kind} of {modality} reads {wanted}", value=shape, action=action)
