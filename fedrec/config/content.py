"""What of an item is looked at, and how each modality becomes features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedrec.config.base import Named, Settings

Modality = Literal["text", "image", "attributes", "audio", "video"]


class TextSettings(Settings):
    """How text becomes features. ``lsa``: trained tokenizer, TF-IDF, truncated SVD. ``minilm``: frozen
    all-MiniLM-L6-v2 (extra ``pretrained``). ``minilm-states``: what goes into its last layer, for
    ``model.text_encoder`` ``minilm-lora``. ``tokens``: token ids for an encoder trained from scratch. ``hashed``:
    n-grams of words and letters hashed into ``dimension`` columns, of which it needs some hundred."""

    encoder: Annotated[str, Named("text encoder")] = "lsa"
    dimension: int = Field(default=64, ge=2, le=4096)
    vocabulary: int = Field(default=4096, ge=64, le=65536)
    length: int = Field(default=48, ge=4, le=512, description="tokens kept of a text, for tokens and minilm-states")


class ImageSettings(Settings):
    """How a picture becomes features. ``statistics``: colour and edge statistics. ``pixels``: a small RGB array for
    an encoder trained from scratch. Others are frozen backbones."""

    encoder: Annotated[str, Named("image encoder")] = "statistics"
    dimension: int = Field(default=48, ge=2, le=2048)
    size: int = Field(default=64, ge=16, le=512, description="side in pixels after resizing")


class AudioSettings(Settings):
    """How a sound becomes features. ``statistics``: timbre and pitches, summed up over time. ``logmel``: a small
    picture of its spectrum over time, for an encoder trained from scratch. Sounds are WAV files of 16-bit PCM."""

    encoder: Annotated[str, Named("audio encoder")] = "statistics"
    dimension: int = Field(default=48, ge=2, le=2048)
    seconds: float = Field(default=30.0, ge=0.1, le=120, description="how much of a sound is heard, from its beginning")
    highest: int = Field(default=4000, ge=500, le=24000, description="frequencies above, in hertz, are not looked at")
    mels: int = Field(default=32, ge=8, le=128, description="bands of frequency, for encoder 'logmel'")
    frames: int = Field(default=32, ge=8, le=512, description="spans of time, for encoder 'logmel'")


class VideoSettings(Settings):
    """How the frames of a video become features: each like a picture (see `ImageSettings`), then their mean."""

    encoder: Annotated[str, Named("video encoder")] = "statistics"
    dimension: int = Field(default=48, ge=2, le=2048)
    size: int = Field(default=64, ge=16, le=512, description="side of a frame in pixels after resizing")
    frames: int = Field(default=8, ge=1, le=256, description="frames of a video that are looked at, evenly spaced")


class ContentSettings(Settings):
    """Which modalities of an item are used, and how each is encoded."""

    modalities: tuple[Modality, ...] = ("text", "image", "attributes")
    text: TextSettings = TextSettings()
    image: ImageSettings = ImageSettings()
    audio: AudioSettings = AudioSettings()
    video: VideoSettings = VideoSettings()

    @model_validator(mode="after")
    def _distinct(self) -> ContentSettings:
        if len(set(self.modalities)) != len(self.modalities):
            raise ValueError("content.modalities names a modality twice")
        return self
