"""What of an item is looked at, and how each modality becomes features."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedrec.config.base import Named, Settings

Modality = Literal["text", "image", "attributes", "audio", "video"]


class TextSettings(Settings):
    """How text becomes features."""

    encoder: Annotated[str, Named("text encoder")] = Field(
        default="lsa",
        description="lsa: trained tokenizer, TF-IDF, truncated SVD. minilm: frozen all-MiniLM-L6-v2 (extra "
        "pretrained). minilm-states: what goes into its last layer, for model.text_encoder minilm-lora. tokens: token "
        "ids for an encoder trained from scratch. hashed: n-grams of words and letters hashed into the columns",
    )
    dimension: int = Field(
        default=64,
        ge=0,
        le=4096,
        description="columns of the features, 2 or more; encoder hashed needs some hundred. 0, of encoder lsa only: an "
        "eighth of the number of texts, from 16 to 256, since few texts bear few directions",
    )
    vocabulary: int = Field(default=4096, ge=64, le=65536, description="tokens that the trained tokenizer knows")
    length: int = Field(
        default=48, ge=4, le=512, description="tokens kept of a text, for encoders tokens and minilm-states"
    )

    @model_validator(mode="after")
    def _dimension_is_known(self) -> TextSettings:
        if self.dimension == 1 or (self.dimension == 0 and self.encoder != "lsa"):
            raise ValueError(
                f"content.text.dimension is 2 or more, or 0 with encoder lsa, not {self.dimension} with {self.encoder}"
            )
        return self


class ImageSettings(Settings):
    """How a picture becomes features."""

    encoder: Annotated[str, Named("image encoder")] = Field(
        default="statistics",
        description="statistics: colour and edge statistics. pixels: a small RGB array for an encoder trained from "
        "scratch. The others are frozen backbones (extra pretrained)",
    )
    dimension: int = Field(default=48, ge=2, le=2048, description="columns of the features; not of encoder pixels")
    size: int = Field(default=64, ge=16, le=512, description="side after resizing, in pixels")


class AudioSettings(Settings):
    """How a sound becomes features. Sounds are WAV files of 16-bit PCM."""

    encoder: Annotated[str, Named("audio encoder")] = Field(
        default="statistics",
        description="statistics: timbre and pitches, summed up over time. logmel: a small picture of its spectrum over "
        "time, for an encoder trained from scratch",
    )
    dimension: int = Field(default=48, ge=2, le=2048, description="columns of the features; not of encoder logmel")
    seconds: float = Field(
        default=30.0, ge=0.1, le=120, description="how much of a sound is heard, from its beginning, in seconds"
    )
    highest: int = Field(default=4000, ge=500, le=24000, description="frequencies above are not looked at, in hertz")
    mels: int = Field(default=32, ge=8, le=128, description="bands of frequency, for encoder logmel")
    frames: int = Field(default=32, ge=8, le=512, description="spans of time, for encoder logmel")


class VideoSettings(Settings):
    """How the frames of a video become features: each like a picture (see `ImageSettings`), then their mean."""

    encoder: Annotated[str, Named("video encoder")] = Field(
        default="statistics", description="how a frame is encoded, as content.image.encoder"
    )
    dimension: int = Field(default=48, ge=2, le=2048, description="columns of the features")
    size: int = Field(default=64, ge=16, le=512, description="side of a frame after resizing, in pixels")
    frames: int = Field(default=8, ge=1, le=256, description="frames of a video that are looked at, evenly spaced")


class ContentSettings(Settings):
    """Which modalities of an item are used, and how each is encoded."""

    modalities: tuple[Modality, ...] = Field(
        default=("text", "image", "attributes"),
        description="what of an item is encoded; what the data has nothing of is left out, with a word",
    )
    text: TextSettings = TextSettings()
    image: ImageSettings = ImageSettings()
    audio: AudioSettings = AudioSettings()
    video: VideoSettings = VideoSettings()

    @model_validator(mode="after")
    def _distinct(self) -> ContentSettings:
        if len(set(self.modalities)) != len(self.modalities):
            raise ValueError("content.modalities names a modality twice")
        return self
