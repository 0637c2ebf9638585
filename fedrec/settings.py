"""The sections of a run's settings: frozen, and validated where they are born.

Privacy knobs (`PrivacySettings`, `SecureAggregationSettings`) stand apart from quality knobs and from speed knobs
(`SpeedSettings`): changing a speed knob never changes a result beyond rounding, nor any claim.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Engine = Literal["cohort", "grid", "flower"]
Unit = Literal["user", "example"]
Sampling = Literal["full", "poisson", "fixed", "cyclic"]
Modality = Literal["text", "image", "attributes"]
Fusion = Literal["mean", "weighted", "max", "concat-mlp", "gated", "attention", "cross-attention", "mixture", "late"]
UserTowerKind = Literal["mean", "recency", "gru", "attention"]
Loss = Literal["sampled-softmax", "bpr", "bce", "mse"]
QueryName = Literal["popularity", "cooccurrence", "training", "metrics"]
GradSample = Literal["auto", "hooks", "ghost", "functional"]
Protocol = Literal["auto", "none", "secagg+"]


class Settings(BaseModel):
    """Frozen; an unknown key is an error, so a typing slip never silently changes a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RunSettings(Settings):
    """Which run this is. ``seed`` fixes everything but secrets. ``reproducible``: noise and sampling are derived from
    the seed too, so that a run can be repeated; for simulations only, since it protects from nobody who knows the seed.
    """

    name: str = "run"
    seed: int = Field(default=0, ge=0, lt=2**63)
    engine: Engine = "cohort"
    reproducible: bool = False


class TextSettings(Settings):
    """How text becomes features. ``lsa``: trained tokenizer, TF-IDF, truncated SVD. ``minilm``: frozen
    all-MiniLM-L6-v2 (extra ``pretrained``). ``tokens``: token ids for an encoder trained from scratch."""

    encoder: Literal["lsa", "minilm", "tokens"] = "lsa"
    dimension: int = Field(default=64, ge=2, le=1024)
    vocabulary: int = Field(default=4096, ge=64, le=65536)
    length: int = Field(default=48, ge=4, le=512, description="tokens kept of a text, for encoder 'tokens'")


class ImageSettings(Settings):
    """How a picture becomes features. ``statistics``: colour and edge statistics. ``pixels``: a small RGB array for
    an encoder trained from scratch. Others are frozen backbones."""

    encoder: Literal["statistics", "pixels", "efficientnet-lite0", "resnet18", "mobilenet-v3-small"] = "statistics"
    dimension: int = Field(default=48, ge=2, le=2048)
    size: int = Field(default=64, ge=16, le=512, description="side in pixels after resizing")


class ContentSettings(Settings):
    """Which modalities of an item are used, and how each is encoded."""

    modalities: tuple[Modality, ...] = ("text", "image", "attributes")
    text: TextSettings = TextSettings()
    image: ImageSettings = ImageSettings()

    @model_validator(mode="after")
    def _distinct(self) -> ContentSettings:
        if len(set(self.modalities)) != len(self.modalities):
            raise ValueError("content.modalities names a modality twice")
        return self


class ModelSettings(Settings):
    """The shared two-tower model. ``adapter`` adds a private vector per user that never leaves the device.

    ``reads``: the modalities of the content that the tower reads, none named = all; the others can still be what an
    auxiliary task predicts.  ``user_tower``: how a history becomes one vector, see `fedrec.model.history`.
    """

    preset: str = "fedrec"
    tower: bool = Field(default=True, description="train the content tower at all")
    dimension: int = Field(default=32, ge=2, le=512)
    reads: tuple[Modality, ...] = ()
    fusion: Fusion = "weighted"
    user_tower: UserTowerKind = "mean"
    text_encoder: Literal["head", "gru", "lstm", "textcnn"] = "head"
    image_encoder: Literal["head", "cnn", "vgg"] = "head"
    history: int = Field(default=64, ge=1, le=1024, description="events of a user that the user tower reads")
    notes: bool = False
    photos: bool = False
    adapter: bool = False
    warm_start: float | None = Field(
        default=0.5,
        ge=0,
        le=1,
        description="evenness of the heads fitted to public content before training; null = random",
    )


class BehaviourSettings(Settings):
    """What collaboration adds through one-shot private sums: item popularity and item co-occurrence.

    ``items``: the most popular items that take part in co-occurrence (0 = all). ``method``: what is made of it, EASE
    or the cosine of two items' users. ``ridge``: EASE's lambda, or what damps the cosine of rare items.
    ``prior``: weight of the content kernel added to the co-occurrence before it is solved; ``prior_modalities``: the
    weight of each modality in that kernel. ``weight``: share of the behaviour score in the final score, 0 to 1.
    ``popularity_weight``: weight of log popularity, added to the final score.
    """

    popularity: bool = True
    cooccurrence: bool = True
    items: int = Field(default=0, ge=0)
    method: Literal["ease", "cosine"] = "ease"
    rank: int = Field(default=0, ge=0, description="largest rank kept (0 = no limit)")
    ridge: float = Field(default=10.0, gt=0)
    normalise: float = Field(default=1.0, ge=0, le=1, description="each user adds x x^T / |x|^normalise")
    prior: float = Field(default=0.0, ge=0)
    prior_modalities: dict[str, float] = Field(default_factory=dict)
    weight: float = Field(default=0.5, ge=0, le=1)
    popularity_weight: float = Field(default=0.0, ge=0)


class TrainingSettings(Settings):
    """Rounds of model updates. ``cohort`` is the (expected) number of devices a round; 0 = all of them.

    ``sampling``: ``full``; ``poisson``, each device with equal chance, anew each round; ``fixed``, so many drawn anew;
    ``cyclic``, all devices dealt once into groups of at most ``cohort`` that take turns.
    """

    rounds: int = Field(default=20, ge=0)
    cohort: int = Field(default=0, ge=0)
    sampling: Sampling = "full"
    positives: int = Field(default=8, ge=1, le=512)
    negatives: int = Field(default=128, ge=1, le=4096, description="size of the pool that every device gets")
    loss: Loss = "sampled-softmax"
    auxiliary: float = Field(
        default=0.0, ge=0, le=100, description="weight of predicting an item's attributes from its fused vector"
    )
    alignment: float = Field(
        default=0.0, ge=0, le=100, description="weight of telling which vectors of two modalities are of one item"
    )
    temperature: float = Field(default=0.1, gt=0)
    optimiser: Literal["sgd", "momentum", "adam"] = "adam"
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    examples: int = Field(default=16, ge=1, le=1024, description="rows a user's events are split into, unit 'example'")
    personal_steps: int = Field(default=0, ge=0, description="on-device steps on the private parameters")


def _default_shares() -> dict[QueryName, float]:
    return {"popularity": 0.1, "cooccurrence": 0.5, "training": 0.35, "metrics": 0.05}


class AdaptiveClipSettings(Settings):
    """How the clip follows a quantile of the rows' norms, see `fedrec.aggregation.clip_rate`; it starts at
    ``privacy.clip``. ``share``: the part of the squared bound of training that is given to finding it."""

    quantile: float = Field(default=0.5, gt=0, lt=1)
    learning_rate: float = Field(default=0.2, gt=0, le=1)
    share: float = Field(default=0.02, gt=0, le=0.5)
    least: float = Field(default=1e-3, gt=0)
    most: float = Field(default=1e3, gt=0)


class LocalSettings(Settings):
    """What a device does in its turn where it adds all noise itself (``privacy.noise_place`` ``local``).

    It takes ``steps`` steps of DP-SGD over its own interactions, each on a Poisson sample of ``batch`` of them
    (expected; 0 = all), with step size ``learning_rate``.  ``bound``: most that the whole change of its model adds to
    the sum, L2; the change, noise and all, is scaled down to that, which costs no privacy.
    """

    steps: int = Field(default=1, ge=1, le=256)
    batch: int = Field(default=0, ge=0)
    learning_rate: float = Field(default=0.5, gt=0)
    bound: float = Field(default=1.0, gt=0)


class PrivacySettings(Settings):
    """What is promised, to whom, and how the budget is split.

    ``epsilon`` null means a run without noise, which claims nothing. ``delta`` null means N^-1.1, N the number of
    privacy units. ``clip``: most by which one privacy unit moves a sum of model updates, L2; ``adaptive_clip`` lets it
    follow a quantile. ``shares``: what part of the budget, as a part of 1/z^2 of a full-participation Gaussian, goes
    to each kind of query; they are normalised to sum 1.
    ``noise``: of training, ``independent`` each round, or ``banded``: correlated over ``bands`` rounds so that it
    cancels in the sums of updates (0 = the best number), which needs sampling cyclic and the server to add the noise.
    ``noise_place``: ``server``: added to opened sums, by a server that is trusted with them.  ``distributed``: each
    device adds its share, so that the server opens noisy sums only; see `fedrec.privacy.distributed`.  ``local``: each
    device makes its own contribution private, and nobody else is trusted; see `LocalSettings`, `fedrec.privacy.local`.
    ``clip`` is then what one interaction moves the gradient of one step.
    """

    unit: Unit = "user"
    epsilon: float | None = Field(default=None, gt=0, le=100)
    delta: float | None = Field(default=None, gt=0, lt=0.1)
    clip: float = Field(default=1.0, gt=0)
    noise: Literal["independent", "banded"] = "independent"
    bands: int = Field(default=0, ge=0, le=4096)
    noise_place: Literal["server", "distributed", "local"] = "server"
    local: LocalSettings = LocalSettings()
    shares: dict[QueryName, float] = Field(default_factory=_default_shares)
    adaptive_clip: AdaptiveClipSettings | None = None

    @model_validator(mode="after")
    def _clip_can_adapt(self) -> PrivacySettings:
        adaptive = self.adaptive_clip
        if adaptive is not None and not adaptive.least <= self.clip <= adaptive.most:
            raise ValueError("privacy.clip, where it starts, is not within adaptive_clip.least and most")
        if adaptive is not None and self.unit == "example":
            raise ValueError("privacy.adaptive_clip needs unit 'user': an interaction could turn its row's bit around")
        if adaptive is not None and self.noise == "banded":
            raise ValueError("privacy.adaptive_clip changes the noise's scale, so banded noise would not cancel")
        return self

    @model_validator(mode="after")
    def _shares_are_positive(self) -> PrivacySettings:
        bad = {name: share for name, share in self.shares.items() if not share > 0}
        if bad or not self.shares:
            raise ValueError(f"privacy.shares must name at least one query, each with a share above 0, got {bad}")
        return self


class SecureAggregationSettings(Settings):
    """How sums are opened. ``none``: the server sees each contribution, and every output says so. ``secagg+``: it sees
    masked vectors only, and opens sums over many. ``auto``: see `with_protocol`.

    What devices insist on: ``minimum_cohort`` and ``minimum_survivors``; neighbours and threshold that hold to
    2^-``security`` if ``corrupt``, ``dropout`` and ``colluding`` are the shares of devices that they say;
    ``rounds_a_day``; ``attempts`` at one round.  ``neighbours`` and ``threshold`` are chosen by the cohort's size where
    they are 0; whatever is set, devices refuse what does not hold.
    """

    protocol: Protocol = "auto"
    resolution_bits: int | None = Field(
        default=None, ge=8, le=40, description="bits below what one row adds to an element; null = as few as are enough"
    )
    rotate: bool = Field(default=True, description="rotate model updates, so that fewer bits an element are enough")
    minimum_cohort: int = Field(default=20, ge=2, le=2**20)
    minimum_survivors: int = Field(default=15, ge=2, le=2**20)
    neighbours: int = Field(default=0, ge=0, le=2**20)
    threshold: int = Field(default=0, ge=0, le=2**20)
    corrupt: float = Field(default=0.1, ge=0, lt=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    colluding: float = Field(default=0.0, ge=0, lt=1)
    security: float = Field(default=40.0, gt=0, le=256, description="bits")
    rounds_a_day: int = Field(default=1000, ge=1)
    attempts: int = Field(default=3, ge=1, le=255)

    @model_validator(mode="after")
    def _floors_fit(self) -> SecureAggregationSettings:
        if self.minimum_survivors > self.minimum_cohort:
            raise ValueError("secure_aggregation.minimum_survivors is above minimum_cohort")
        if bool(self.neighbours) != bool(self.threshold) or self.threshold > self.neighbours:
            raise ValueError("secure_aggregation.neighbours and threshold are set together, the threshold no higher")
        if self.corrupt + self.dropout >= 1:
            raise ValueError("secure_aggregation.corrupt and dropout are shares that leave somebody")
        return self


class EvaluationSettings(Settings):
    """What is measured. ``every``: a quality point each so many rounds (0 = only at the end). ``split``: ``test``, or
    ``valid`` while tuning, which scores the validation item and never looks at the test item."""

    every: int = Field(default=5, ge=0)
    split: Literal["test", "valid"] = "test"
    users: int = Field(default=0, ge=0, description="at most so many users, the first ones (0 = all)")
    private_metrics: bool = Field(default=False, description="also ask devices for metrics, as a private sum")


class AuditSettings(Settings):
    """Whether a simulated run tests its own claim (engine ``cohort``, with ``privacy.epsilon``).

    ``canaries``: so many rows, each in or out by a fair coin, are added to the population; 0 = none.  They take part in
    every sum as the worst row could, so they change the model a little and cost nobody's privacy; of a release that
    others use, train it without.  Canaries that are no more than the catalogue has items disturb each other least.
    ``confidence``: of the lower bounds on epsilon.
    """

    canaries: int = Field(default=0, ge=0, le=20_000)
    confidence: float = Field(default=0.95, ge=0.5, lt=1)

    @model_validator(mode="after")
    def _enough(self) -> AuditSettings:
        if 0 < self.canaries < 16:
            raise ValueError("audit.canaries below 16 can show nothing; use some hundreds")
        return self


class SpeedSettings(Settings):
    """Knobs that change time and memory, never a result beyond rounding."""

    batch_rows: int = Field(default=64, ge=1, description="so many rows' gradients stay in cache")
    threads: int = Field(default=0, ge=0, description="torch threads (0 = as torch likes)")
    grad_sample: GradSample = "auto"
