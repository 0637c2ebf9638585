"""Named starting points: a preset gives the settings that its name promises, and what the user wrote wins over it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from fedrec.config.base import Settings, section_of, written_keys
from fedrec.config.load import from_tree
from fedrec.config.preset_auto import AUTO
from fedrec.config.root import Config
from fedrec.config.sized import check_steps, written_of_sized
from fedrec.registry import Registry

_NOTHING_COLLABORATIVE: Mapping[str, Any] = {
    "popularity": False,
    "cooccurrence": {"enabled": False},
    "scoring": {"weight": 0.0, "popularity_weight": 0.0},
}


@dataclass(frozen=True)
class Preset:
    """``settings``: the part of a settings tree that the preset changes. ``summary``: one line for people."""

    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)


_TOKENS = {"encoder": "tokens"}
_PIXELS = {"encoder": "pixels", "size": 32}
# Per-row gradients of convolutions fill the memory: fewer rows at once.
_FEW_ROWS = {"batch_rows": 16}


_POWER_ITERATION: Mapping[str, Any] = {
    "cooccurrence": {"enabled": False},
    "power_iteration": {"enabled": True, "steps": 1, "rank": 24, "whitening": 0.15, "scale": 1.0},
    "prior": {"weight": 0.8, "modalities": {"text": 0.7, "attributes": 0.8, "image": 0.1}, "sharpness": 1.5},
    "solver": {"ridge": 20.0},
}
_FACTORISATION = {"method": "als", "ridge": 1.0}
_TOWER_FIRST: Mapping[str, Any] = {
    "solver": _FACTORISATION,
    "prior": {"weight": 1.0, "modalities": {"tower": 1.0}},
    "scoring": {"weight": 1.0},
}


def _content_only(*modalities: str) -> dict[str, Any]:
    return {"content": {"modalities": list(modalities)}, "collaborative": _NOTHING_COLLABORATIVE}


_BUILTIN: Mapping[str, Preset] = MappingProxyType(
    {
        "auto": Preset("sets itself: sums sized by their noise, and readings of them chosen by the devices", AUTO),
        "defaults": Preset("content tower and the whole co-occurrence together: what the other presets change"),
        "fedrec": Preset(
            "our best: the fused content tower beside private power iteration, with fold-in on the device",
            {
                "collaborative": {
                    **_POWER_ITERATION,
                    "fold_in": {"weight": 0.5},
                    "scoring": {"weight": 0.6, "discount": 0.25},
                }
            },
        ),
        "content-only": Preset("the content tower over all modalities", _content_only("text", "image", "attributes")),
        "text-only": Preset("the content tower over text", _content_only("text")),
        "image-only": Preset("the content tower over pictures", _content_only("image")),
        "attributes-only": Preset("the content tower over attributes", _content_only("attributes")),
        "audio-only": Preset("the content tower over sounds", _content_only("audio")),
        "behaviour-only": Preset(
            "popularity and co-occurrence sums; no content, nothing trained",
            {"model": {"tower": False}, "collaborative": {"scoring": {"weight": 1.0}, "prior": {"weight": 0.0}}},
        ),
        "popularity-only": Preset(
            "one private count of each item, the same ranking for everybody",
            {
                "model": {"tower": False},
                "collaborative": {
                    "cooccurrence": {"enabled": False},
                    "prior": {"weight": 0.0},
                    "scoring": {"weight": 0.0, "popularity_weight": 1.0},
                },
            },
        ),
        "personal": Preset(
            "the defaults with notes, photos and a private vector a user",
            {"model": {"notes": True, "photos": True, "adapter": True}, "training": {"personal_steps": 5}},
        ),
        "pretrained": Preset(
            "frozen MiniLM and EfficientNet-lite0 features (extra pretrained)",
            {
                "content": {
                    "text": {"encoder": "minilm", "dimension": 384},
                    "image": {"encoder": "efficientnet-lite0", "dimension": 64},
                }
            },
        ),
        "item-cf": Preset(
            "item-based collaborative filtering: the cosine of two items' users, from private sums",
            {
                "model": {"tower": False},
                "collaborative": {
                    "prior": {"weight": 0.0},
                    "solver": {"method": "cosine", "ridge": 1.0},
                    "scoring": {"weight": 1.0},
                },
            },
        ),
        "ease": Preset(
            "EASE in closed form from private sums",
            {
                "model": {"tower": False},
                "collaborative": {"prior": {"weight": 0.0}, "solver": {"method": "ease"}, "scoring": {"weight": 1.0}},
            },
        ),
        "gcn": Preset(
            "graph convolution over co-occurrence and content: smoothed features, and behaviour as one of them",
            {"model": {"graph": "both"}, "collaborative": {"feature_columns": 16, "scoring": {"weight": 0.0}}},
        ),
        "mf-fused": Preset(
            "fused content, matrix factorisation beside it, and its factors as one of the modalities",
            {"collaborative": {"feature_columns": 16, "solver": _FACTORISATION, "scoring": {"weight": 0.5}}},
        ),
        "dfmf": Preset(
            "deep features first: the content tower trained, then a factorisation that has its item vectors as a prior",
            {"content": {"modalities": ["text", "image"]}, "collaborative": _TOWER_FIRST},
        ),
        "mtmf": Preset(
            "as dfmf, the tower trained on several tasks: it predicts attributes beside recommending",
            {
                "model": {"reads": ["text", "image"]},
                "collaborative": _TOWER_FIRST,
                "training": {"auxiliary": 0.3},
            },
        ),
        "factors": Preset(
            "private power iteration from the content of all modalities: for small budgets; nothing else is trained",
            {
                "model": {"tower": False},
                "collaborative": {**_POWER_ITERATION, "scoring": {"weight": 1.0, "discount": 0.25}},
            },
        ),
        "weighted-fusion": Preset(
            "(1 - alpha) text + alpha image, alpha learned, over ready features",
            _content_only("text", "image") | {"model": {"fusion": "weighted"}},
        ),
        "concat-ctr": Preset(
            "CNN and LSTM side by side, a dense layer, and the chance of a click",
            {
                "content": {"modalities": ["text", "image"], "text": _TOKENS, "image": _PIXELS},
                "model": {"text_encoder": "lstm", "image_encoder": "cnn", "fusion": "concat-mlp"},
                "collaborative": _NOTHING_COLLABORATIVE,
                "training": {"loss": "bce"},
                "speed": _FEW_ROWS,
            },
        ),
        "attention-multitask": Preset(
            "CNN, GRU and a user encoder, fused by attention; recommends, and predicts attributes beside it",
            {
                "content": {"modalities": ["text", "image", "attributes"], "text": _TOKENS, "image": _PIXELS},
                "model": {
                    "reads": ["text", "image"],
                    "text_encoder": "gru",
                    "image_encoder": "cnn",
                    "fusion": "attention",
                    "user_tower": "attention",
                },
                "collaborative": _NOTHING_COLLABORATIVE,
                "training": {"auxiliary": 0.3},
                "speed": _FEW_ROWS,
            },
        ),
        "mmulcoonn": Preset(
            "VGG-like CNN, TextCNN and embedded attributes, fully connected",
            {
                "content": {"modalities": ["text", "image", "attributes"], "text": _TOKENS, "image": _PIXELS},
                "model": {"text_encoder": "textcnn", "image_encoder": "vgg", "fusion": "concat-mlp"},
                "collaborative": _NOTHING_COLLABORATIVE,
                "speed": _FEW_ROWS,
            },
        ),
        "mmfnet": Preset(
            "CNN, LSTM and embedded attributes, fused by attention; multi-task",
            {
                "content": {"modalities": ["text", "image", "attributes"], "text": _TOKENS, "image": _PIXELS},
                "model": {"text_encoder": "lstm", "image_encoder": "cnn", "fusion": "attention"},
                "collaborative": _NOTHING_COLLABORATIVE,
                "training": {"auxiliary": 0.3},
                "speed": _FEW_ROWS,
            },
        ),
        "pretrained-cf": Preset(
            "frozen language and vision encoders with trained heads, and EASE (extra pretrained)",
            {
                "content": {
                    "modalities": ["text", "image"],
                    "text": {"encoder": "minilm", "dimension": 384},
                    "image": {"encoder": "efficientnet-lite0", "dimension": 64},
                },
                "collaborative": {"popularity": True, "cooccurrence": {"enabled": True}, "scoring": {"weight": 0.5}},
            },
        ),
        "pretrained-lora": Preset(
            "as pretrained-cf, MiniLM's last layer fine-tuned by low-rank adapters (extra pretrained)",
            {
                "content": {
                    "modalities": ["text", "image"],
                    "text": {"encoder": "minilm-states"},
                    "image": {"encoder": "efficientnet-lite0", "dimension": 64},
                },
                "model": {"text_encoder": "minilm-lora", "head_rank": 128, "history": 8},
                "collaborative": {"popularity": True, "cooccurrence": {"enabled": True}, "scoring": {"weight": 0.5}},
                # Each item of each row goes through a transformer's layer.
                "training": {"positives": 4, "negatives": 16},
                "speed": {"batch_rows": 4},
            },
        ),
        "from-scratch": Preset(
            "word convolutions and a small CNN trained from token ids and pixels",
            {
                "content": {"text": _TOKENS, "image": _PIXELS},
                "model": {"text_encoder": "textcnn", "image_encoder": "cnn"},
                "speed": _FEW_ROWS,
            },
        ),
    }
)

PRESETS: Registry[Preset] = Registry("preset", _BUILTIN, group="fedrec.presets")
"""Every preset by name; another package adds its own, see `fedrec.extend.register_preset`."""


def preset_of(config: Config) -> Preset:
    """The preset that ``config.model.preset`` names. Raises ConfigError where there is none of that name."""
    return PRESETS[config.model.preset]


def with_preset(config: Config) -> Config:
    """Put the settings of ``config.model.preset`` beneath those that ``config`` was given explicitly.

    A setting that was written, even with its default value, stays as written.  Sections are merged key by key; a table
    that is one setting (such as ``collaborative.prior.modalities``) replaces the preset's whole.  Where others follow
    the noise, those that were written are named in ``collaborative.as_written``, and do not.  Idempotent.

    Raises:
        ConfigError: no preset of that name, or the two together are not valid.
    """
    written = _written(config)
    settled = from_tree(_beneath(preset_of(config).settings, written, Config))
    collaborative = settled.collaborative
    if not collaborative.follows_noise:
        check_steps(collaborative.power_iteration.enabled, collaborative.power_iteration.steps)
    elif "as_written" not in config.collaborative.model_fields_set:
        kept = {"as_written": written_of_sized(written_keys(written, Config))}
        settled = settled.model_copy(update={"collaborative": collaborative.model_copy(update=kept)})
    return settled


def _written(settings: Settings) -> dict[str, Any]:
    """Only what was set explicitly, a section as a table of its own."""
    found: dict[str, Any] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Settings):
            if (inner := _written(value)) or name in settings.model_fields_set:
                found[name] = inner
        elif name in settings.model_fields_set:
            found[name] = value
    return found


def _beneath(preset: Mapping[str, Any], written: Mapping[str, Any], section: type[Settings]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in {**preset, **written}:
        low, high = preset.get(name), written.get(name)
        field = section.model_fields.get(name)
        inner = None if field is None else section_of(field)
        if name not in written:
            merged[name] = low
        elif inner is not None and isinstance(low, Mapping) and isinstance(high, Mapping):
            merged[name] = _beneath(low, high, inner)
        else:
            merged[name] = high
    return merged
