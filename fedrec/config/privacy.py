"""What is promised, to whom, and what it is spent on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedrec.config.base import Named, Settings
from fedrec.errors import ConfigError
from fedrec.registry import check_name, registry_of

Unit = Literal["user", "example"]


class AdaptiveClipSettings(Settings):
    """How the clip follows a quantile of the rows' norms, see `fedrec.queries.adaptive_clip`; it starts at
    ``privacy.clip``."""

    quantile: float = Field(default=0.5, gt=0, lt=1, description="share of the rows that the clip leaves as they are")
    learning_rate: float = Field(default=0.2, gt=0, le=1, description="how far the logarithm of the clip moves a round")
    share: float = Field(
        default=0.02, gt=0, le=0.5, description="part of the squared bound of training that is given to finding it"
    )
    least: float = Field(default=1e-3, gt=0, description="the clip never falls below, L2")
    most: float = Field(default=1e3, gt=0, description="the clip never rises above, L2")


class LocalSettings(Settings):
    """What a device does in its turn where it adds all noise itself (``privacy.noise_place`` ``local``): steps of
    DP-SGD over its own interactions."""

    steps: int = Field(default=1, ge=1, le=256, description="steps of DP-SGD in one turn")
    batch: int = Field(default=0, ge=0, description="interactions in a step, as expected of a Poisson sample (0 = all)")
    learning_rate: float = Field(default=0.5, gt=0, description="size of a step")
    bound: float = Field(
        default=1.0,
        gt=0,
        description="most that the whole change of a device's model adds to the sum, L2; the change, noise and all, is "
        "scaled down to that, which costs no privacy",
    )


class PrivacySettings(Settings):
    """What is promised, to whom, and how the budget is split."""

    unit: Unit = Field(
        default="user",
        description="what a row is, and so what is protected: a whole user, or one interaction (example)",
    )
    epsilon: float | None = Field(
        default=None, gt=0, le=100, description="the budget; null = a run without noise, which claims nothing"
    )
    delta: float | None = Field(
        default=None,
        gt=0,
        lt=0.1,
        description="null = N^-1.1, N the number of users; with unit example it is to be set, below one in the number "
        "of interactions, but in simulations, which count them",
    )
    clip: float = Field(
        default=1.0,
        gt=0,
        description="most by which one privacy unit moves a sum of model updates, L2; with noise_place local, what one "
        "interaction moves the gradient of one step",
    )
    noise: Annotated[str, Named("mechanism")] = Field(
        default="independent",
        description="noise of training: independent each round, or banded: correlated over privacy.bands rounds so "
        "that it cancels in the sums of updates, which needs sampling cyclic or cyclic-poisson and the server to add "
        "the noise",
    )
    bands: int = Field(default=0, ge=0, le=4096, description="bands of banded noise, in rounds (0 = the best number)")
    noise_place: Literal["auto", "server", "distributed", "local"] = Field(
        default="auto",
        description="distributed: each device adds its share, so that the server opens noisy sums only, see "
        "fedrec.privacy.distributed. server: added to opened sums, by a server that is trusted with exact ones. local: "
        "each device makes its own contribution private, and nobody else is trusted, see fedrec.privacy.local. auto: "
        "distributed in every engine that sends messages, server in engine cohort, where there are no devices",
    )
    spare_attempts: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="where devices share the noise: attempts at sums beyond those of the plan that the budget has room "
        "for, each as dear as the dearest round; 0 = a run that loses one after devices masked ends some rounds early",
    )
    local: LocalSettings = LocalSettings()
    shares: dict[str, float] = Field(
        default_factory=dict,
        description="what part of the budget, as a part of 1/z^2 of a full-participation Gaussian, goes to each kind "
        "of query, above 0; they are normalised to sum 1. None named = each query has its own default",
    )
    adaptive_clip: AdaptiveClipSettings | None = Field(
        default=None, description="lets the clip follow a quantile of the rows' norms; null = it stays"
    )
    groups: dict[str, Annotated[float, Field(gt=0, le=1000)]] = Field(
        default_factory=dict,
        max_length=64,
        description="parts of the model (the beginning of parameters' names, such as encoders or tower, and rest) to "
        "their share of the squared clip; each is clipped to its own part, see fedrec.training.groups. None named = "
        "the whole gradient is clipped at once",
    )

    @model_validator(mode="after")
    def _clip_can_adapt(self) -> PrivacySettings:
        adaptive = self.adaptive_clip
        if adaptive is not None and not adaptive.least <= self.clip <= adaptive.most:
            raise ValueError("privacy.clip, where it starts, is not within adaptive_clip.least and most")
        if adaptive is not None and self.unit == "example":
            raise ValueError("privacy.adaptive_clip needs unit 'user': an interaction could turn its row's bit around")
        if adaptive is not None and registry_of("mechanism")[self.noise].correlated:
            raise ValueError(f"privacy.adaptive_clip changes the noise's scale, so {self.noise} noise would not cancel")
        return self

    @model_validator(mode="after")
    def _shares_are_positive(self) -> PrivacySettings:
        for name, share in self.shares.items():
            try:
                check_name("query", name)
            except ConfigError as error:
                raise ValueError(f"privacy.shares: {error.what}, got {name!r}; {error.action}") from None
            if not share > 0:
                raise ValueError(f"privacy.shares must give each query a share above 0, got {share} for {name}")
        return self
