"""What collaboration adds through private sums that train nothing: one section a method, and how its score counts."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError, model_validator

from fedrec.config.base import Settings
from fedrec.config.fold_in import FoldInSettings
from fedrec.config.selection import SelectionSettings, merged, parts_of
from fedrec.config.sized import check_sized

# Below it all counts are what shares their buckets.
_LEAST_BUCKETS: Final = 16


class CooccurrenceSettings(Settings):
    """Which items are used together: one sum over the users of what each has, see `fedrec.queries.cooccurrence`."""

    enabled: bool = Field(default=True, description="ask for the co-occurrence of items, as one private sum")
    items: int = Field(default=0, ge=0, description="the most popular items that take part (0 = all)")
    normalise: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="a: a user with the items x adds x x^T / |x|^a; below 1 only without noise",
    )


class PowerIterationSettings(Settings):
    """Instead of co-occurrence, low-rank factors of it by private power iteration from the content kernel of
    ``collaborative.prior``, which needs far less noise; see `fedrec.collaborative.power_iteration`."""

    enabled: bool = Field(default=False, description="ask for low-rank factors, in place of the whole co-occurrence")
    steps: int = Field(
        default=0, ge=0, le=16, description="rounds that turn the directions before the one that asks for the factors"
    )
    rank: int = Field(default=48, ge=1, le=512, description="directions that a history is projected on")
    scale: float = Field(default=1.8, gt=0, description="weight of what the rounds found, beside the prior")
    whitening: float = Field(
        default=0.3, ge=0, le=1, description="how much weak directions are strengthened, 0 = not at all"
    )
    item_weighting: float = Field(
        default=0.0, ge=0, le=1, description="how much less popular items weigh in a user's part, 0 = all alike"
    )
    denoising: Literal["items", "content"] = Field(
        default="items",
        description="what a noisy entry is brought nearer to: what content leads to expect of it, by its item's mass "
        "alone (items), or by a part beside it that items of like content have in common (content)",
    )
    combine_steps: bool = Field(
        default=False,
        description="whether what all steps told is used, and not the last one's sum alone; without noise only that is",
    )


class PriorSettings(Settings):
    """The content kernel that is added to what the sums say, see `fedrec.collaborative.content_kernel`."""

    weight: float = Field(default=0.0, ge=0, description="weight of the kernel, added before the sums are solved")
    modalities: dict[str, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="weight of each modality in the kernel, 0 or more; 'tower' is the item vectors of the content "
        "tower: power iteration begins with those before training, and once it is trained the sums are read again",
    )
    weighed_by_sums: bool = Field(
        default=False,
        description="once the first sum of power iteration is open, weigh the modalities by how much of it each "
        "explains, see fedrec.collaborative.modality_weights; the weights given are where it starts",
    )
    sharpness: float = Field(
        default=0.0,
        ge=0,
        le=50,
        description="how much more its nearest neighbours say to an item than the rest, 0 = in proportion",
    )
    leading: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="weight of what all modalities say together: the leading directions of their joint content, each "
        "item's place among them as one more modality; beside the sum of the modalities' weights",
    )
    leading_rank: int = Field(default=16, ge=1, le=512, description="how many directions, for prior.leading")
    rank: int = Field(
        default=400, ge=1, le=4096, description="columns kept of a sharpened kernel, where power iteration starts there"
    )


class SolverSettings(Settings):
    """What is made of the sums, see `fedrec.collaborative.solve`."""

    method: Literal["ease", "cosine", "als"] = Field(
        default="ease", description="EASE, the cosine of two items' users, or matrix factorisation (als)"
    )
    ridge: float = Field(
        default=10.0,
        gt=0,
        description="lambda of EASE or of the factorisation, in users; or what damps the cosine of rare items",
    )
    rank: int = Field(default=0, ge=0, description="largest rank kept of the table, in columns (0 = no limit)")


class ScoringSettings(Settings):
    """How much the table says in the final score, see `fedrec.ranking.score`."""

    weight: float = Field(default=0.5, ge=0, le=1, description="share of the table's score in the final score")
    personal: bool = Field(
        default=True,
        description="whether what is known of the user counts; false = one ranking for all, by popularity_weight",
    )
    popularity_weight: float = Field(
        default=0.0, ge=0, description="weight of standardised log popularity, added to the final score"
    )
    discount: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="an item's score is divided by its popularity to this power, since what everybody uses says little "
        "of one's next item",
    )
    recency: float = Field(
        default=0.0,
        ge=0,
        le=4,
        description="on the device an event with a later ones counts (1 + a)^-recency; only where histories are in "
        "time order",
    )
    evidence: bool = Field(
        default=False,
        description="the score above, popularity, and the user's own notes and photos weigh by how much each tells of "
        "the user, on the device: few events leave more to popularity, notes and photos; see fedrec.ranking.evidence",
    )


class RatingSettings(Settings):
    """What is made of ratings, where users give any; of users only, not of interactions."""

    predict: bool = Field(
        default=False,
        description="ask how much better or worse than usual each item is rated, as one private sum: a release then "
        "predicts ratings, see fedrec.queries.ratings",
    )
    weight: float = Field(
        default=0.0,
        ge=0,
        le=8,
        description="how much less an item that was rated low counts in a user's part of the sums: the lowest rating "
        "counts 2^-weight of the highest, one without a rating as much as the highest (0 = all alike)",
    )
    lowest: float = Field(default=1.0, description="the lowest rating that there is; what is below counts as it")
    highest: float = Field(default=5.0, description="the highest rating that there is; what is above counts as it")

    @property
    def used(self) -> bool:
        """Whether ratings matter beyond which are positive."""
        return self.predict or self.weight > 0

    @model_validator(mode="after")
    def _range_is_one(self) -> RatingSettings:
        if not self.lowest < self.highest:
            raise ValueError("collaborative.ratings.lowest must be below collaborative.ratings.highest")
        return self


class CollaborativeSettings(Settings):
    """What collaboration adds through private sums: item popularity, and what is used together."""

    popularity: bool = Field(default=True, description="ask how many users have each item, as one private sum")
    shrink_popularity: bool = Field(
        default=False,
        description="bring noisy counts of items nearer to what they would be without their noise, by how all of them "
        "are spread, see fedrec.collaborative.shrunk_counts; false = as they are, none below zero",
    )
    popularity_buckets: int = Field(
        default=0,
        ge=0,
        le=2**24,
        description="that sum as three hash tables of so many buckets, for catalogues of which a device should not "
        "send an element an item; what the counts are then off by is known, see fedrec.collaborative.hashed_counts "
        "(0 = an element an item)",
    )
    follows_noise: bool = Field(
        default=False,
        description="which sums are asked, how large they are, their shares of the budget and the candidates of "
        "collaborative.selection follow from privacy and from the numbers of users and items, see "
        "fedrec.queries.sizing; what is written stays as written, and the rest follows",
    )
    as_written: tuple[str, ...] = Field(
        default=(),
        description="keys of settings that stay as they are where others follow the noise; filled in from what is "
        "written beside a preset with follows_noise",
    )
    short_history_weighting: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="m: a user of n items counts min(1, n / m) in the sums, so that one interaction moves them by no "
        "more than about 1 / sqrt(m): for privacy.unit 'example' (0 = all count 1)",
    )
    feature_columns: int = Field(
        default=0,
        ge=0,
        le=256,
        description="numbers an item, the leading ones of the table, that become the modality 'behaviour' which the "
        "content tower reads (0 = not one); made of sums that have their noise, it costs no budget, but every device "
        "gets it with every request about the tower, see fedrec.collaborative.item_tables",
    )
    cooccurrence: CooccurrenceSettings = CooccurrenceSettings()
    power_iteration: PowerIterationSettings = PowerIterationSettings()
    prior: PriorSettings = PriorSettings()
    solver: SolverSettings = SolverSettings()
    ratings: RatingSettings = RatingSettings()
    scoring: ScoringSettings = ScoringSettings()
    fold_in: FoldInSettings | None = Field(
        default=None, description="a second score of the same sums, for which each device places its user among factors"
    )
    selection: SelectionSettings = SelectionSettings()

    @property
    def pairwise(self) -> bool:
        """Whether anything is asked about which items are used together."""
        return self.cooccurrence.enabled or self.power_iteration.enabled

    @property
    def has_prior(self) -> bool:
        """Whether a content kernel of ``prior.modalities`` is part of what is solved."""
        return self.power_iteration.enabled or (self.cooccurrence.enabled and self.prior.weight > 0)

    def candidate(self, name: str) -> CollaborativeSettings:
        """The settings with the changes of a candidate of ``selection``, of which nothing is left to choose.

        ``name``: of one, or of several taken together (`selection.joined_name`).  A prior without modalities has no
        weight, whatever a candidate says.
        """
        tree = self.model_dump(exclude={"selection"})
        for part in parts_of(name):
            changes = dict(self.selection.candidates[part])
            if not self.prior.modalities:
                changes.pop("prior", None)
            tree = merged(tree, changes)
        return CollaborativeSettings.model_validate(tree)

    @model_validator(mode="after")
    def _candidates_can_be_read(self) -> CollaborativeSettings:
        if self.selection.asked and "tower" in self.prior.modalities:
            raise ValueError("collaborative.selection reads no prior of the tower: leave prior.modalities.tower out")
        for name in self.selection.candidates:
            try:
                self.candidate(name)
            except ValidationError as error:
                wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
                raise ValueError(f"selection.candidates.{name}: {wrong}") from None
        return self

    @model_validator(mode="after")
    def _as_written_is_sized(self) -> CollaborativeSettings:
        check_sized(self.as_written)
        return self

    @model_validator(mode="after")
    def _methods_have_what_they_need(self) -> CollaborativeSettings:
        cooccurrence, iteration, prior = self.cooccurrence, self.power_iteration, self.prior
        if iteration.enabled and cooccurrence.enabled:
            raise ValueError(
                "collaborative.power_iteration takes the place of collaborative.cooccurrence: enable one of them only"
            )
        if iteration.enabled and not (self.popularity and prior.modalities):
            raise ValueError(
                "collaborative.power_iteration needs collaborative.popularity and collaborative.prior.modalities"
            )
        # Where nobody says which sum is asked, a preset does, or it follows from the noise.
        said = "enabled" in iteration.model_fields_set and not self.follows_noise
        if iteration.steps and not iteration.enabled and said:
            raise ValueError("collaborative.power_iteration.steps are rounds before those of power_iteration.enabled")
        if self.fold_in is not None and not self.pairwise:
            raise ValueError("collaborative.fold_in needs collaborative.cooccurrence or collaborative.power_iteration")
        if "tower" in prior.modalities and not (self.pairwise and prior.weight):
            raise ValueError(
                "collaborative.prior.modalities.tower needs collaborative.prior.weight, and collaborative.cooccurrence "
                "or collaborative.power_iteration"
            )
        if 0 < self.popularity_buckets < _LEAST_BUCKETS:
            raise ValueError(f"collaborative.popularity_buckets is 0 or at least {_LEAST_BUCKETS}")
        if self.feature_columns and not (self.popularity and self.pairwise):
            raise ValueError(
                "collaborative.feature_columns needs collaborative.popularity, and cooccurrence or power_iteration"
            )
        return self
