"""The parts of the model by name: item encoders of each modality, fusions, and user towers.

Nothing is imported until it is used, so that settings can be checked where the model is never built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fedrec.registry import Registry

if TYPE_CHECKING:
    from fedrec.config import ModelSettings
    from fedrec.model.fusion_weights import Fusion
    from fedrec.model.history import History
    from fedrec.model.item_encoder import ItemEncoder

_HEAD: Final = "fedrec.model.encoder_low_rank:LowRankHead"
TEXT_ITEM_ENCODERS: Final[Registry[type[ItemEncoder]]] = Registry(
    "text item encoder",
    {
        "head": _HEAD,
        "gru": "fedrec.model.encoder_text:TextGRU",
        "lstm": "fedrec.model.encoder_text:TextLSTM",
        "textcnn": "fedrec.model.encoder_text:TextCNN",
        "minilm-lora": "fedrec.model.encoder_lora:LoraText",
    },
    group="fedrec.text_item_encoders",
)
IMAGE_ITEM_ENCODERS: Final[Registry[type[ItemEncoder]]] = Registry(
    "image item encoder",
    {"head": _HEAD, "cnn": "fedrec.model.encoder_image:SmallCNN", "vgg": "fedrec.model.encoder_image:SmallVGG"},
    group="fedrec.image_item_encoders",
)
AUDIO_ITEM_ENCODERS: Final[Registry[type[ItemEncoder]]] = Registry(
    "audio item encoder",
    {"head": _HEAD, "cnn": "fedrec.model.encoder_sound:SoundCNN"},
    group="fedrec.audio_item_encoders",
)
ITEM_ENCODERS: Final[Mapping[str, Registry[type[ItemEncoder]]]] = {
    "text": TEXT_ITEM_ENCODERS,
    "image": IMAGE_ITEM_ENCODERS,
    "audio": AUDIO_ITEM_ENCODERS,
}
"""modality -> its item encoders, for the modalities that ``model.<modality>_encoder`` chooses one for."""

FUSIONS: Final[Registry[type[Fusion]]] = Registry(
    "fusion",
    {
        "mean": "fedrec.model.fusion:MeanFusion",
        "weighted": "fedrec.model.fusion:WeightedFusion",
        "max": "fedrec.model.fusion:MaxFusion",
        "concat-mlp": "fedrec.model.fusion:ConcatFusion",
        "gated": "fedrec.model.fusion:GatedFusion",
        "attention": "fedrec.model.fusion:AttentionFusion",
        "cross-attention": "fedrec.model.fusion_deep:CrossAttentionFusion",
        "mixture": "fedrec.model.fusion_deep:MixtureFusion",
        "late": "fedrec.model.fusion:LateFusion",
    },
    group="fedrec.fusions",
)
USER_TOWERS: Final[Registry[type[History]]] = Registry(
    "user tower",
    {
        "mean": "fedrec.model.history:MeanHistory",
        "recency": "fedrec.model.history:RecencyHistory",
        "gru": "fedrec.model.history:GatedHistory",
        "attention": "fedrec.model.history:AttentionHistory",
    },
    group="fedrec.user_towers",
)


def item_encoder(settings: ModelSettings, modality: str) -> type[ItemEncoder]:
    """The item encoder that the settings choose for a modality; a head where they leave no choice.

    Raises:
        ConfigError: it is not registered here, or cannot be loaded.
    """
    return ITEM_ENCODERS.get(modality, TEXT_ITEM_ENCODERS)[item_encoder_name(settings, modality)]


def item_encoder_name(settings: ModelSettings, modality: str) -> str:
    """The name of that encoder."""
    return str(getattr(settings, f"{modality}_encoder")) if modality in ITEM_ENCODERS else "head"
