"""What collaboration adds through private sums that train nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fedrec.config.base import Settings
from fedrec.config.fold_in import FoldInSettings


class BehaviourSettings(Settings):
    """What collaboration adds through one-shot private sums: item popularity and item co-occurrence.

    ``items``: the most popular items that take part in co-occurrence (0 = all). ``method``: what is made of it, EASE,
    the cosine of two items' users, or matrix factorisation (``als``). ``ridge``: the lambda of EASE or of the
    factorisation, or what damps the cosine of rare items.
    ``factors``: instead of co-occurrence, low-rank factors of it by private power iteration from the content kernel of
    ``prior_modalities`` (`fedrec.collaborative.power_iteration`), which needs far less noise.
    ``prior``: weight of the content kernel added to the co-occurrence before it is solved; ``prior_modalities``: the
    weight of each modality in that kernel, ``tower`` among them: item vectors of the content tower once it is trained,
    with which the table is then solved again.  ``prior_sharpness``: how much more its nearest neighbours say to an item
    than the rest, 0 = in proportion (`fedrec.collaborative.content_kernel`).
    ``modality``: so many numbers an item, the leading ones of the table, become a modality that the content tower reads
    (0 = none), see `fedrec.collaborative.item_tables`; made of sums that have their noise, it costs no budget, but
    every device gets it with every request about the tower.
    ``weight``: share of the behaviour score in the final score, 0 to 1.
    ``popularity_weight``: weight of log popularity, added to the final score.
    ``discount``: an item's behaviour score is divided by its popularity to this power, since what everybody uses says
    little of one's next item.  ``recency``: on the device, an event with a later ones counts (1 + a)^-recency; only
    where histories are in time order.
    ``ramp``: a user of n items counts min(1, n / ramp) in the sums, so that one interaction moves them by no more than
    about 1 / sqrt(ramp): for unit example (0 = all count 1).
    ``fold_in``: a second score of the same sums, for which each device places its user among item factors.
    """

    popularity: bool = True
    cooccurrence: bool = True
    directions: int = Field(default=0, ge=0, le=16, description="rounds that turn the directions before the factors")
    factors: bool = False
    factor_rank: int = Field(default=48, ge=1, le=512, description="directions that a history is projected on")
    factor_scale: float = Field(default=1.8, gt=0, description="weight of what the factors found beside the prior")
    whitening: float = Field(default=0.3, ge=0, le=1, description="how much weak directions are strengthened")
    levelling: float = Field(default=0.0, ge=0, le=1, description="how much less popular items weigh in the factors")
    items: int = Field(default=0, ge=0)
    method: Literal["ease", "cosine", "als"] = "ease"
    rank: int = Field(default=0, ge=0, description="largest rank kept (0 = no limit)")
    ridge: float = Field(default=10.0, gt=0)
    normalise: float = Field(default=1.0, ge=0, le=1, description="each user adds x x^T / |x|^normalise")
    prior: float = Field(default=0.0, ge=0)
    prior_modalities: dict[str, float] = Field(default_factory=dict)
    prior_sharpness: float = Field(default=0.0, ge=0, le=50)
    prior_rank: int = Field(default=400, ge=1, le=4096, description="of a sharpened kernel, where factors are asked")
    modality: int = Field(default=0, ge=0, le=256, description="columns of the modality 'behaviour', 0 = not one")
    weight: float = Field(default=0.5, ge=0, le=1)
    popularity_weight: float = Field(default=0.0, ge=0)
    discount: float = Field(default=0.0, ge=0, le=1)
    recency: float = Field(default=0.0, ge=0, le=4)
    ramp: int = Field(default=0, ge=0, le=10_000)
    fold_in: FoldInSettings | None = None

    @model_validator(mode="after")
    def _factors_have_what_they_need(self) -> BehaviourSettings:
        if self.factors and self.cooccurrence:
            raise ValueError("behaviour.factors takes the place of behaviour.cooccurrence: set one of them only")
        if self.factors and not (self.popularity and self.prior_modalities):
            raise ValueError("behaviour.factors needs behaviour.popularity and behaviour.prior_modalities")
        if self.directions and not self.factors:
            raise ValueError("behaviour.directions are rounds before behaviour.factors")
        if self.fold_in is not None and not (self.cooccurrence or self.factors):
            raise ValueError("behaviour.fold_in needs behaviour.cooccurrence or behaviour.factors")
        if "tower" in self.prior_modalities and not (self.cooccurrence and self.prior):
            raise ValueError("behaviour.prior_modalities.tower needs behaviour.cooccurrence and behaviour.prior")
        if self.modality and not (self.popularity and (self.cooccurrence or self.factors)):
            raise ValueError("behaviour.modality needs behaviour.popularity, and behaviour.cooccurrence or factors")
        return self
