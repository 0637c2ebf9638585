"""The shared two-tower model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fedrec.config.base import Named, Settings
from fedrec.config.content import Modality

Input = Literal[Modality, "behaviour", "id"]
Graph = Literal["none", "content", "cooccurrence", "both"]


class ModelSettings(Settings):
    """The shared two-tower model. ``adapter`` adds a private vector per user that never leaves the device.

    ``reads``: the modalities that the tower reads, none named = all; the others can still be what an auxiliary task
    predicts.  Beside those of the content there are ``behaviour`` (where ``behaviour.modality`` is above 0) and ``id``.
    ``id_embedding``: a trained vector an item, as the modality ``id``; it adds items times ``dimension`` parameters,
    and under privacy noise grows with the root of their number: it is for small catalogues and runs without noise.
    ``graph``: which graph over the items features are smoothed on before the tower reads them, see
    `fedrec.content.graph`: that of their ``content``, that of their ``cooccurrence`` in the private sums, or both.
    ``text_encoder``: ``head`` on ready features; ``gru``, ``lstm``, ``textcnn`` on token ids; ``minilm-lora`` on the
    states of ``content.text.encoder`` ``minilm-states``: the last layer of MiniLM, fine-tuned in ``lora_rank``
    directions (`fedrec.model.encoder_lora`).
    ``user_tower``: how a history becomes one vector, see `fedrec.model.history`.
    ``context``: the time of day (UTC) of the request and of the history adds a learned vector to the user's.
    """

    preset: Annotated[str, Named("preset")] = "defaults"
    tower: bool = Field(default=True, description="train the content tower at all")
    dimension: int = Field(default=32, ge=2, le=512)
    reads: tuple[Input, ...] = ()
    id_embedding: bool = False
    graph: Graph = "none"
    graph_layers: int = Field(default=2, ge=1, le=4, description="steps of smoothing; the features are their mean")
    graph_neighbours: int = Field(default=10, ge=1, le=64, description="edges that each item of a graph draws")
    fusion: Annotated[str, Named("fusion")] = "weighted"
    user_tower: Annotated[str, Named("user tower")] = "mean"
    text_encoder: Annotated[str, Named("text item encoder")] = "head"
    image_encoder: Annotated[str, Named("image item encoder")] = "head"
    audio_encoder: Annotated[str, Named("audio item encoder")] = "head"
    head_rank: int = Field(
        default=0,
        ge=0,
        le=512,
        description="directions in which a head over ready features is trained, beside a frozen start; 0 = all",
    )
    lora_rank: int = Field(default=8, ge=1, le=128, description="directions of each adapter, for minilm-lora")
    history: int = Field(default=64, ge=1, le=1024, description="events of a user that the user tower reads")
    notes: bool = False
    photos: bool = False
    adapter: bool = False
    context: bool = False
    warm_start: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="evenness of the heads fitted to public content before training; null = random",
    )
