"""Encoders by kind: which class a setting means, and how a fitted encoder is saved and restored."""

from __future__ import annotations

from typing import Any

from fedrec.content.attributes import AttributeEncoder
from fedrec.content.audio_logmel import LogMelAudio
from fedrec.content.audio_statistics import StatisticsAudio
from fedrec.content.bundle import pack, unpack
from fedrec.content.encoder import Encoder
from fedrec.content.image_backbone import BackboneImage
from fedrec.content.image_pixels import PixelsImage
from fedrec.content.image_statistics import StatisticsImage
from fedrec.content.text_hashed import HashedText
from fedrec.content.text_lsa import LsaText
from fedrec.content.text_minilm import MiniLmText
from fedrec.content.text_minilm_states import MiniLmStates
from fedrec.content.text_tokens import TokenText
from fedrec.content.video_frames import VideoBackbone, VideoStatistics
from fedrec.errors import ContentError

AnyEncoder = Encoder[Any]
ENCODERS: dict[tuple[str, str], type[AnyEncoder]] = {
    (encoder.modality, encoder.kind): encoder
    for encoder in (
        *(LsaText, MiniLmText, MiniLmStates, TokenText, HashedText),
        *(StatisticsImage, PixelsImage, BackboneImage),
        *(StatisticsAudio, LogMelAudio),
        *(VideoStatistics, VideoBackbone),
        AttributeEncoder,
    )
}
"""(modality, kind) -> class."""


def encoder_to_bytes(encoder: AnyEncoder) -> bytes:
    """A fitted encoder as one safetensors file. It holds what the public catalogue taught it, and nothing private."""
    arrays, meta = encoder.state()
    return pack(arrays, {"modality": encoder.modality, "kind": encoder.kind, "name": encoder.name, "state": meta})


def encoder_from_bytes(data: bytes) -> AnyEncoder:
    """The inverse of `encoder_to_bytes`.

    Raises:
        ContentError: the bytes are damaged, or of an encoder that this version does not have or computes otherwise.
    """
    arrays, meta = unpack(data, what="a saved encoder")
    kind = ENCODERS.get((str(meta.get("modality")), str(meta.get("kind"))))
    state = meta.get("state")
    if kind is None or not isinstance(state, dict):
        raise ContentError(
            "a saved encoder is of a kind that this version does not have",
            value=(meta.get("modality"), meta.get("kind")),
            action="Use the version of fedrec that saved it, or build the features again",
        )
    encoder = kind.from_state(arrays, state)
    if encoder.name != meta.get("name"):
        raise ContentError(
            "a saved encoder was made by a version that computes otherwise",
            value=meta.get("name"),
            action="Build the features again",
        )
    return encoder
