"""Rounds of model updates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fedrec.config.base import Settings

Sampling = Literal["full", "poisson", "fixed", "cyclic", "balls-in-bins", "cyclic-poisson"]
Loss = Literal["sampled-softmax", "bpr", "bce", "mse"]
Pool = Literal["uniform", "popularity"]


class StoppingSettings(Settings):
    """When training ends before its last round: devices are asked, as a private sum, how well the tower ranks the item
    that each holds back (`fedrec.queries.validation`), after every ``every`` rounds and after the last one.  The best
    parameters are kept, those that training began with among them where ``start`` has them measured."""

    every: int = Field(default=5, ge=1, description="rounds of training from one request to the next")
    patience: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="the run stops when so many requests in a row found no parameters that were better by more than "
        "least",
    )
    least: float = Field(default=0.0, ge=0, lt=1, description="what counts as better, on a scale from 0 to 1")
    start: bool = Field(
        default=False,
        description="devices are asked before the first round, too: where training does not better the parameters that "
        "were fitted to public content, it ends and those are released; rounds that are not asked are not charged",
    )


class TrainingSettings(Settings):
    """Rounds of model updates."""

    rounds: int = Field(default=20, ge=0, description="rounds of training, each one private sum; 0 = no training")
    cohort: int = Field(default=0, ge=0, description="the (expected) number of devices a round; 0 = all of them")
    sampling: Sampling = Field(
        default="full",
        description="full: all devices. poisson: each device with equal chance, anew each round. fixed: so many drawn "
        "anew. cyclic: all devices dealt once into groups of at most training.cohort that take turns. balls-in-bins: "
        "so, but each device by itself and in secret, so that groups' sizes vary and the dealing amplifies privacy. "
        "cyclic-poisson: all devices dealt once into training.groups that take turns, and a Poisson sample of a group",
    )
    groups: int = Field(
        default=1, ge=1, le=4096, description="groups that take turns, with sampling cyclic-poisson; 1 = as poisson"
    )
    secret_cohorts: bool = Field(
        default=False,
        description="cohorts of sampling fixed are drawn from a key that the server keeps to itself, so that "
        "amplification is claimed towards whoever sees the release; false = anybody may be able to recompute them. "
        "Those of poisson, cyclic-poisson and balls-in-bins always are",
    )
    positives: int = Field(default=8, ge=1, le=512, description="items of a row's user that are to be ranked up")
    negatives: int = Field(default=128, ge=1, le=4096, description="size of the pool that every device gets, in items")
    pool: Pool = Field(
        default="uniform",
        description="how a round's negatives are drawn: uniform, or by popularity (the noisy counts to the power of "
        "training.pool_power)",
    )
    pool_power: float = Field(default=0.75, ge=0, le=1, description="0 = all items alike, 1 = as the counts")
    correction: bool = Field(
        default=False, description="take the bias of the pool off the softmax, see fedrec.queries.negatives"
    )
    loss: Loss = Field(default="sampled-softmax", description="the loss of a row, see fedrec.model.losses")
    auxiliary: float = Field(
        default=0.0, ge=0, le=100, description="weight of predicting an item's attributes from its fused vector"
    )
    alignment: float = Field(
        default=0.0, ge=0, le=100, description="weight of telling which vectors of two modalities are of one item"
    )
    temperature: float = Field(default=0.1, gt=0, description="what scores are divided by before the loss")
    optimiser: Literal["sgd", "momentum", "adam"] = Field(
        default="adam", description="how the server steps along the noisy mean gradient"
    )
    learning_rate: float = Field(default=0.01, gt=0, description="size of the server's step")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        default="constant",
        description="how the learning rate falls over the rounds, see fedrec.queries.learning_rate",
    )
    warmup: int = Field(default=0, ge=0, description="rounds in which the learning rate rises to its full size")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="share of the last step that goes on, for momentum")
    examples: int = Field(default=16, ge=1, le=1024, description="rows a user's events are split into, unit 'example'")
    personal_steps: int = Field(default=0, ge=0, description="on-device steps on the private parameters")
    augment: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="how much pictures, words and features are changed while a device trains, 0 = not at all; see "
        "fedrec.training.augment",
    )
    stopping: StoppingSettings | None = Field(
        default=None, description="when to end before the last round, null = never"
    )

    @property
    def validated(self) -> tuple[int, ...]:
        """The rounds after which devices are asked how good the tower is, at most; 0 = before the first."""
        if self.stopping is None or not self.rounds:
            return ()
        start = (0,) if self.stopping.start else ()
        return (*start, *range(self.stopping.every, self.rounds, self.stopping.every), self.rounds)

    @model_validator(mode="after")
    def _warmup_ends(self) -> TrainingSettings:
        if self.warmup and self.warmup > self.rounds:
            raise ValueError("training.warmup is longer than training.rounds")
        return self

    @model_validator(mode="after")
    def _correction_is_of_a_softmax(self) -> TrainingSettings:
        if self.correction and self.loss != "sampled-softmax":
            raise ValueError("training.correction is for training.loss=sampled-softmax")
        return self
