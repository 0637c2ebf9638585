"""A run's config: all sections together, and what each must have of the others."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, model_validator

from fedrec.config.audit import AuditSettings
from fedrec.config.base import Settings
from fedrec.config.collaborative import CollaborativeSettings
from fedrec.config.content import ContentSettings
from fedrec.config.data import DataSettings
from fedrec.config.model import ModelSettings
from fedrec.config.privacy import PrivacySettings
from fedrec.config.run import EvaluationSettings, RunSettings, SpeedSettings
from fedrec.config.secure_aggregation import SecureAggregationSettings
from fedrec.config.training import TrainingSettings
from fedrec.errors import ConfigError
from fedrec.registry import registry_of


class Config(Settings):
    """All settings of a run."""

    run: RunSettings = RunSettings()
    data: DataSettings = DataSettings()
    content: ContentSettings = ContentSettings()
    model: ModelSettings = ModelSettings()
    collaborative: CollaborativeSettings = CollaborativeSettings()
    training: TrainingSettings = TrainingSettings()
    privacy: PrivacySettings = PrivacySettings()
    secure_aggregation: SecureAggregationSettings = SecureAggregationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    audit: AuditSettings = AuditSettings()
    speed: SpeedSettings = SpeedSettings()
    queries: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="further queries to ask, by name, each with its own settings ([queries.census]); those that are "
        "asked by a section of their own are not named here",
    )

    def choosing(self, name: str) -> Config:
        """The settings with a candidate of ``collaborative.selection`` chosen; themselves where there are none."""
        if not self.collaborative.selection.asked:
            return self
        return self.model_copy(update={"collaborative": self.collaborative.candidate(name)})

    @property
    def by_default(self) -> Config:
        """The settings before anything is chosen: those of the default candidate, where there are candidates."""
        return self.choosing(self.collaborative.selection.default)

    @model_validator(mode="after")
    def _queries_are_known(self) -> Config:
        for name, settings in self.queries.items():
            try:
                kind = registry_of("query")[name].settings_type
            except ConfigError as error:
                raise ValueError(f"queries.{name}: {error.what}; {error.action}") from None
            if kind is None:
                raise ValueError(
                    f"queries.{name}: this query is asked by a section of its own, not by [queries.{name}]"
                )
            try:
                kind.model_validate(settings)
            except ValidationError as error:
                wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
                raise ValueError(f"queries.{name}: {wrong}") from None
        return self

    @model_validator(mode="after")
    def _private_parts_are_bounded(self) -> Config:
        cooccurrence, iteration = self.collaborative.cooccurrence, self.collaborative.power_iteration
        if self.privacy.epsilon is not None and cooccurrence.enabled and cooccurrence.normalise != 1:
            raise ValueError(
                "collaborative.cooccurrence.normalise must be 1 with privacy.epsilon: else one user moves the sum far"
            )
        if self.privacy.epsilon is not None and iteration.enabled and self.privacy.unit == "example":
            raise ValueError("collaborative.power_iteration protects users, not interactions: set privacy.unit=user")
        if self.collaborative.ratings.used and self.privacy.unit == "example":
            raise ValueError(
                "collaborative.ratings protects users, not interactions: one rating changes how much all others of its "
                "user weigh; set privacy.unit=user, or collaborative.ratings.predict=false and weight=0"
            )
        if self.collaborative.popularity_buckets and (self.privacy.unit == "example" or self.audit.canaries):
            raise ValueError(
                "collaborative.popularity_buckets protects users, not interactions, and canaries look for counts of "
                "items: set it to 0, or privacy.unit=user and audit.canaries=0"
            )
        if self.audit.canaries and self.privacy.epsilon is None:
            raise ValueError("audit.canaries needs privacy.epsilon: a run without noise claims nothing to test")
        if self.audit.canaries and self.privacy.groups:
            raise ValueError("audit.canaries and privacy.groups do not go together: canaries reach the whole clip")
        if self.audit.canaries and self.privacy.adaptive_clip is not None:
            raise ValueError("audit.canaries and privacy.adaptive_clip do not go together: canaries have no bit to say")
        return self

    @model_validator(mode="after")
    def _tower_has_content(self) -> Config:
        further = {"behaviour": self.collaborative.feature_columns > 0, "id": self.model.id_embedding}
        beside = {name for name, wanted in further.items() if wanted}
        unknown = sorted(set(self.model.reads) - set(self.content.modalities) - beside)
        if unknown:
            raise ValueError(
                f"model.reads names modalities that there are not: {unknown}; text, image and attributes are named in "
                "content.modalities, behaviour needs collaborative.feature_columns, id needs model.id_embedding"
            )
        if "tower" in self.collaborative.prior.modalities and not self.model.tower:
            raise ValueError("collaborative.prior.modalities.tower needs model.tower")
        if self.model.reads and (unread := sorted(beside - set(self.model.reads))):
            raise ValueError(f"model.reads leaves out what is made for the tower only: {unread}")
        if self.training.auxiliary and "attributes" not in self.content.modalities:
            raise ValueError("training.auxiliary predicts attributes: add them to content.modalities")
        return self

    @model_validator(mode="after")
    def _pool_has_counts(self) -> Config:
        if self.training.pool == "popularity" and self.model.tower and not self.collaborative.popularity:
            raise ValueError(
                "training.pool=popularity is drawn by the counts of collaborative.popularity: set it to true"
            )
        return self

    @model_validator(mode="after")
    def _graphs_have_edges(self) -> Config:
        sums = self.collaborative.popularity and self.collaborative.pairwise
        if self.model.graph in ("cooccurrence", "both") and not sums:
            raise ValueError(
                "model.graph needs collaborative.popularity, and collaborative.cooccurrence or power_iteration"
            )
        return self

    @model_validator(mode="after")
    def _noise_fits(self) -> Config:
        noise = self.privacy.noise
        mechanism = registry_of("mechanism")[noise]
        apart = self.training.sampling in ("cyclic", "cyclic-poisson") and self.training.cohort > 0
        if mechanism.correlated and not apart:
            raise ValueError(
                f"privacy.noise={noise} needs training.sampling=cyclic or cyclic-poisson and a training.cohort above 0"
            )
        if mechanism.correlated and self.privacy.noise_place not in ("auto", "server"):
            raise ValueError(f"privacy.noise={noise} needs privacy.noise_place=server: devices cannot correlate noise")
        if self.privacy.noise_place not in ("auto", "server") and not mechanism.divisible:
            raise ValueError(f"privacy.noise={noise} needs privacy.noise_place=server: devices add Gaussian noise")
        if self.privacy.bands and not mechanism.correlated:
            raise ValueError("privacy.bands is for privacy.noise=banded")
        return self

    @model_validator(mode="after")
    def _shared_noise_has_known_shares(self) -> Config:
        sampling = self.training.sampling
        if self.privacy.noise_place == "distributed" and sampling in (
            "poisson",
            "balls-in-bins",
            "cyclic-poisson",
        ):
            raise ValueError(
                "privacy.noise_place 'distributed' needs cohorts of a known size, and who knows who takes part "
                f"learns no less by sampling {sampling!r}: set training.sampling to fixed or cyclic"
            )
        return self

    @model_validator(mode="after")
    def _secret_cohorts_are_the_servers(self) -> Config:
        if self.training.groups > 1 and self.training.sampling != "cyclic-poisson":
            raise ValueError("training.groups is for training.sampling=cyclic-poisson")
        if not self.training.secret_cohorts:
            return self
        if self.training.sampling != "fixed":
            raise ValueError(
                "training.secret_cohorts is for training.sampling=fixed; poisson and balls-in-bins always are secret, "
                "full and cyclic gain nothing by it"
            )
        if self.privacy.noise_place in ("distributed", "local"):
            raise ValueError(
                "training.secret_cohorts needs privacy.noise_place=server: who trusts no server with sums cannot trust "
                "it to draw cohorts, and keep them secret, either"
            )
        return self

    @model_validator(mode="after")
    def _local_noise_covers_all(self) -> Config:
        if self.privacy.noise_place != "local":
            return self
        if self.privacy.unit != "example":
            raise ValueError("privacy.noise_place 'local' needs privacy.unit 'example': a row is one interaction")
        # One device's counts would drown in the noise that makes them private by themselves.
        asked = (
            self.collaborative.popularity or self.collaborative.cooccurrence.enabled or self.evaluation.private_metrics
        )
        if asked or self.training.stopping is not None:
            raise ValueError(
                "privacy.noise_place 'local' is for training only: set collaborative.popularity, "
                "collaborative.cooccurrence.enabled and evaluation.private_metrics to false, and leave "
                "training.stopping out"
            )
        known = registry_of("query")
        bare = [name for name in known.names() if not known[name].own_noise and len(known[name].rounds(self))]
        if bare:
            raise ValueError(
                f"privacy.noise_place 'local' is for training only, and nobody would add noise to {bare}: leave it out"
            )
        if self.privacy.groups:
            raise ValueError("privacy.groups are for noise that is added to sums: not privacy.noise_place 'local'")
        if self.model.notes or self.model.photos:
            raise ValueError("privacy.noise_place 'local' protects interactions: set model.notes and photos to false")
        if self.privacy.epsilon is not None and self.privacy.delta is None:
            # Elsewhere it follows from the population, for which a device would have to take the server's word.
            raise ValueError("privacy.noise_place 'local' needs privacy.delta, such as the number of users to the -1.1")
        if self.audit.canaries:
            raise ValueError("audit.canaries are for noise that is added to sums: not privacy.noise_place 'local'")
        return self
