"""The shared two-tower model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedrec.config.base import Named, Settings
from fedrec.config.content import Modality

Input = Literal[Modality, "behaviour", "id"]
Graph = Literal["none", "content", "cooccurrence", "both"]


class ModelSettings(Settings):
    """The shared two-tower model."""

    preset: Annotated[str, Named("preset")] = Field(
        default="defaults", description="a named starting point; what is written beside it wins over what it says"
    )
    tower: bool = Field(default=True, description="train the content tower at all")
    dimension: int = Field(default=32, ge=2, le=512, description="length of the vectors of items and users")
    reads: tuple[Input, ...] = Field(
        default=(),
        description="the modalities that the tower reads, none named = all; the others can still be what an auxiliary "
        "task predicts. Beside those of the content there are behaviour (where collaborative.feature_columns is above "
        "0) and id (model.id_embedding)",
    )
    id_embedding: bool = Field(
        default=False,
        description="a trained vector an item, as the modality id; it adds items times model.dimension parameters, and "
        "under privacy its noise grows with the root of their number: for small catalogues and runs without noise",
    )
    graph: Graph = Field(
        default="none",
        description="which graph over the items features are smoothed on before the tower reads them, see "
        "fedrec.content.graph: that of their content, that of their cooccurrence in the private sums, or both",
    )
    graph_layers: int = Field(default=2, ge=1, le=4, description="steps of smoothing; the features are their mean")
    graph_neighbours: int = Field(default=10, ge=1, le=64, description="edges that each item of a graph draws")
    fusion: Annotated[str, Named("fusion")] = Field(
        default="weighted",
        description="how an item's modalities become one vector, see fedrec.model.fusion; late keeps them apart to the "
        "end",
    )
    user_tower: Annotated[str, Named("user tower")] = Field(
        default="mean", description="how a history becomes one vector, see fedrec.model.history"
    )
    text_encoder: Annotated[str, Named("text item encoder")] = Field(
        default="head",
        description="head: on ready features. gru, lstm, textcnn: on token ids (content.text.encoder tokens). "
        "minilm-lora: the last layer of MiniLM, fine-tuned by low-rank adapters (content.text.encoder minilm-states), "
        "see fedrec.model.encoder_lora",
    )
    image_encoder: Annotated[str, Named("image item encoder")] = Field(
        default="head", description="head: on ready features. cnn, vgg: on pictures (content.image.encoder pixels)"
    )
    audio_encoder: Annotated[str, Named("audio item encoder")] = Field(
        default="head", description="head: on ready features. cnn: on spectra (content.audio.encoder logmel)"
    )
    head_rank: int = Field(
        default=0,
        ge=0,
        le=512,
        description="directions in which a head over ready features is trained, beside a frozen start; 0 = all",
    )
    head_bias: bool = Field(
        default=True,
        description="whether the biases of heads are trained; few big steps pull all items to one place by them, so "
        "false is for those. Needs head_rank",
    )
    lora_rank: int = Field(default=8, ge=1, le=128, description="directions of each adapter, for minilm-lora")
    history: int = Field(default=64, ge=1, le=1024, description="events of a user that the user tower reads, the last")
    notes: bool = Field(default=False, description="the user tower reads what its user wrote, on the device")
    photos: bool = Field(default=False, description="the user tower reads what its user photographed, on the device")
    adapter: bool = Field(default=False, description="a private vector a user, which never leaves the device")
    context: bool = Field(
        default=False,
        description="the time of day (UTC) of the request and of the history adds a learned vector to the user's",
    )
    warm_start: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="evenness of the heads fitted to public content before training; null = random",
    )

    @model_validator(mode="after")
    def _fixed_biases_are_of_low_rank_heads(self) -> ModelSettings:
        if not self.head_bias and not self.head_rank:
            raise ValueError("model.head_bias=false needs model.head_rank, the directions that are trained instead")
        return self
