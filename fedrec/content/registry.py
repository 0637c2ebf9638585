"""The encoders of each modality by name, and how a fitted encoder is saved and restored.

An encoder is a class (`fedrec.content.encoder.Encoder`): ``fit`` makes one from the catalogue and the modality's
settings, ``from_state`` makes it again from what `encoder_to_bytes` saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fedrec.content.bundle import pack, unpack
from fedrec.content.encoder import Encoder
from fedrec.errors import ConfigError, ContentError
from fedrec.registry import Registry

AnyEncoder = Encoder[Any]
EncoderRegistry = Registry[type[AnyEncoder]]

_IMAGE_BACKBONE: Final = "fedrec.content.image_backbone:BackboneImage"
_VIDEO_BACKBONE: Final = "fedrec.content.video_frames:VideoBackbone"
TEXT_ENCODERS: Final[EncoderRegistry] = Registry(
    "text encoder",
    {
        "lsa": "fedrec.content.text_lsa:LsaText",
        "minilm": "fedrec.content.text_minilm:MiniLmText",
        "minilm-states": "fedrec.content.text_minilm_states:MiniLmStates",
        "tokens": "fedrec.content.text_tokens:TokenText",
        "hashed": "fedrec.content.text_hashed:HashedText",
    },
    group="fedrec.text_encoders",
)
IMAGE_ENCODERS: Final[EncoderRegistry] = Registry(
    "image encoder",
    {
        "statistics": "fedrec.content.image_statistics:StatisticsImage",
        "pixels": "fedrec.content.image_pixels:PixelsImage",
        "efficientnet-lite0": _IMAGE_BACKBONE,
        "resnet18": _IMAGE_BACKBONE,
        "mobilenet-v3-small": _IMAGE_BACKBONE,
    },
    group="fedrec.image_encoders",
)
AUDIO_ENCODERS: Final[EncoderRegistry] = Registry(
    "audio encoder",
    {
        "statistics": "fedrec.content.audio_statistics:StatisticsAudio",
        "logmel": "fedrec.content.audio_logmel:LogMelAudio",
    },
    group="fedrec.audio_encoders",
)
VIDEO_ENCODERS: Final[EncoderRegistry] = Registry(
    "video encoder",
    {
        "statistics": "fedrec.content.video_frames:VideoStatistics",
        "efficientnet-lite0": _VIDEO_BACKBONE,
        "resnet18": _VIDEO_BACKBONE,
        "mobilenet-v3-small": _VIDEO_BACKBONE,
    },
    group="fedrec.video_encoders",
)
# Attributes have one encoder, which no setting chooses.
_ATTRIBUTES: Final[EncoderRegistry] = Registry(
    "attributes encoder",
    {"attributes": "fedrec.content.attributes:AttributeEncoder"},
    group="fedrec.attributes_encoders",
)
ENCODERS: Final[Mapping[str, EncoderRegistry]] = {
    "text": TEXT_ENCODERS,
    "image": IMAGE_ENCODERS,
    "audio": AUDIO_ENCODERS,
    "video": VIDEO_ENCODERS,
}
"""modality -> its encoders, for the modalities whose encoder ``content.<modality>.encoder`` names."""

# Saved encoders say their class's kind. It is the name that the settings use, but that one class serves all backbones.
_NAME_OF_KIND: Final[Mapping[str, str]] = {"backbone": "efficientnet-lite0"}


def encoder_to_bytes(encoder: AnyEncoder) -> bytes:
    """A fitted encoder as one safetensors file. It holds what the public catalogue taught it, and nothing private."""
    arrays, meta = encoder.state()
    return pack(arrays, {"modality": encoder.modality, "kind": encoder.kind, "name": encoder.name, "state": meta})


def encoder_from_bytes(data: bytes) -> AnyEncoder:
    """The inverse of `encoder_to_bytes`.

    Raises:
        ContentError: the bytes are damaged, of an encoder that is not registered here, or of one that computes
            otherwise.
    """
    arrays, meta = unpack(data, what="a saved encoder")
    kind, state = _class_of(str(meta.get("modality")), str(meta.get("kind"))), meta.get("state")
    if not isinstance(state, dict):
        raise ContentError("a saved encoder has no state", value=meta.get("kind"), action="Build the features again")
    encoder = kind.from_state(arrays, state)
    if encoder.name != meta.get("name"):
        raise ContentError(
            "a saved encoder was made by a version that computes otherwise",
            value=meta.get("name"),
            action="Build the features again",
        )
    return encoder


def _class_of(modality: str, kind: str) -> type[AnyEncoder]:
    registry = _ATTRIBUTES if modality == "attributes" else ENCODERS.get(modality)
    name = _NAME_OF_KIND.get(kind, kind)
    if registry is None or name not in registry:
        raise ContentError(
            "a saved encoder is of a kind that is not here",
            value=(modality, kind),
            action="Use the version of fedrec that saved it, install the package that registers the encoder "
            "(or name its module in FEDREC_PLUGINS), or build the features again",
        )
    try:
        return registry[name]
    except ConfigError as error:
        raise ContentError(error.what, value=error.value, action=error.action) from error
