"""A run's config: all sections together, the same fields from TOML, ``--set`` and Flower."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError, model_validator

from fedrec.config.audit import AuditSettings
from fedrec.config.base import Settings
from fedrec.config.behaviour import BehaviourSettings
from fedrec.config.content import ContentSettings
from fedrec.config.model import ModelSettings
from fedrec.config.privacy import PrivacySettings
from fedrec.config.run import Engine, EvaluationSettings, RunSettings, SpeedSettings
from fedrec.config.secure_aggregation import SecureAggregationSettings
from fedrec.config.training import TrainingSettings
from fedrec.errors import ConfigError
from fedrec.registry import registry_of


class Config(Settings):
    """All settings of a run."""

    run: RunSettings = RunSettings()
    content: ContentSettings = ContentSettings()
    model: ModelSettings = ModelSettings()
    behaviour: BehaviourSettings = BehaviourSettings()
    training: TrainingSettings = TrainingSettings()
    privacy: PrivacySettings = PrivacySettings()
    secure_aggregation: SecureAggregationSettings = SecureAggregationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    audit: AuditSettings = AuditSettings()
    speed: SpeedSettings = SpeedSettings()

    @model_validator(mode="after")
    def _private_parts_are_bounded(self) -> Config:
        if self.privacy.epsilon is not None and self.behaviour.cooccurrence and self.behaviour.normalise != 1:
            raise ValueError("behaviour.normalise must be 1 with privacy.epsilon: else one user moves the sum far")
        if self.privacy.epsilon is not None and self.behaviour.factors and self.privacy.unit == "example":
            raise ValueError("behaviour.factors protects users, not interactions: set privacy.unit=user")
        if self.audit.canaries and self.privacy.epsilon is None:
            raise ValueError("audit.canaries needs privacy.epsilon: a run without noise claims nothing to test")
        if self.audit.canaries and self.privacy.groups:
            raise ValueError("audit.canaries and privacy.groups do not go together: canaries reach the whole clip")
        if self.audit.canaries and self.privacy.adaptive_clip is not None:
            raise ValueError("audit.canaries and privacy.adaptive_clip do not go together: canaries have no bit to say")
        return self

    @model_validator(mode="after")
    def _tower_has_content(self) -> Config:
        further = {"behaviour": self.behaviour.modality > 0, "id": self.model.id_embedding}
        beside = {name for name, wanted in further.items() if wanted}
        unknown = sorted(set(self.model.reads) - set(self.content.modalities) - beside)
        if unknown:
            raise ValueError(
                f"model.reads names modalities that there are not: {unknown}; text, image and attributes are named in "
                "content.modalities, behaviour needs behaviour.modality, id needs model.id_embedding"
            )
        if "tower" in self.behaviour.prior_modalities and not self.model.tower:
            raise ValueError("behaviour.prior_modalities.tower needs model.tower")
        if self.model.reads and (unread := sorted(beside - set(self.model.reads))):
            raise ValueError(f"model.reads leaves out what is made for the tower only: {unread}")
        if self.training.auxiliary and "attributes" not in self.content.modalities:
            raise ValueError("training.auxiliary predicts attributes: add them to content.modalities")
        return self

    @model_validator(mode="after")
    def _pool_has_counts(self) -> Config:
        if self.training.pool == "popularity" and self.model.tower and not self.behaviour.popularity:
            raise ValueError("training.pool=popularity is drawn by the counts of behaviour.popularity: set it to true")
        return self

    @model_validator(mode="after")
    def _graphs_have_edges(self) -> Config:
        behaviour = self.behaviour
        sums = behaviour.popularity and (behaviour.cooccurrence or behaviour.factors)
        if self.model.graph in ("cooccurrence", "both") and not sums:
            raise ValueError("model.graph needs behaviour.popularity, and behaviour.cooccurrence or factors")
        return self

    @model_validator(mode="after")
    def _noise_fits(self) -> Config:
        noise = self.privacy.noise
        mechanism = registry_of("mechanism")[noise]
        if mechanism.correlated and (self.training.sampling != "cyclic" or self.training.cohort == 0):
            raise ValueError(f"privacy.noise={noise} needs training.sampling=cyclic and a training.cohort above 0")
        if mechanism.correlated and self.privacy.noise_place != "server":
            raise ValueError(f"privacy.noise={noise} needs privacy.noise_place=server: devices cannot correlate noise")
        if self.privacy.noise_place != "server" and not mechanism.divisible:
            raise ValueError(f"privacy.noise={noise} needs privacy.noise_place=server: devices add Gaussian noise")
        if self.privacy.bands and not mechanism.correlated:
            raise ValueError("privacy.bands is for privacy.noise=banded")
        return self

    @model_validator(mode="after")
    def _shared_noise_has_known_shares(self) -> Config:
        if self.privacy.noise_place == "distributed" and self.training.sampling == "poisson":
            raise ValueError("privacy.noise_place 'distributed' needs cohorts of a known size: not sampling 'poisson'")
        return self

    @model_validator(mode="after")
    def _local_noise_covers_all(self) -> Config:
        if self.privacy.noise_place != "local":
            return self
        if self.privacy.unit != "example":
            raise ValueError("privacy.noise_place 'local' needs privacy.unit 'example': a row is one interaction")
        # One device's counts would drown in the noise that makes them private by themselves.
        asked = self.behaviour.popularity or self.behaviour.cooccurrence or self.evaluation.private_metrics
        if asked or self.training.stopping is not None:
            raise ValueError(
                "privacy.noise_place 'local' is for training only: set behaviour.popularity, behaviour.cooccurrence "
                "and evaluation.private_metrics to false, and leave training.stopping out"
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


def with_protocol(config: Config, engine: Engine) -> Config:
    """Settle ``secure_aggregation.protocol`` where it is ``auto``: ``secagg+`` in every engine that sends messages.

    Engine ``cohort`` sends none: it computes the sum that secure aggregation would open, without masks (``none``).

    Raises:
        ConfigError: ``secagg+`` is asked of engine ``cohort``, or of sampled cohorts that are too small for it.
    """
    protocol = config.secure_aggregation.protocol
    if protocol == "auto":
        protocol = "none" if engine == "cohort" else "secagg+"
    elif protocol == "secagg+" and engine == "cohort":
        raise ConfigError(
            "engine 'cohort' sends no messages that could be masked",
            value=protocol,
            action="Set run.engine=grid, or leave secure_aggregation.protocol out: the sum is the same",
        )
    if protocol == "none" and engine != "cohort" and config.privacy.noise_place == "distributed":
        raise ConfigError(
            "noise that devices share protects sums, and without secure aggregation the server sees each contribution",
            value=protocol,
            action="Leave secure_aggregation.protocol out, or set privacy.noise_place to server",
        )
    least, asked = config.secure_aggregation.minimum_cohort, config.training.cohort
    if protocol == "secagg+" and config.training.sampling != "full" and 0 < asked < least:
        raise ConfigError(
            f"no device takes part in cohorts of fewer than {least}",
            value=asked,
            action="Raise training.cohort, or set secure_aggregation.minimum_cohort and minimum_survivors lower",
        )
    return config.model_copy(
        update={"secure_aggregation": config.secure_aggregation.model_copy(update={"protocol": protocol})}
    )


def load(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a TOML file, then apply ``section.key=value`` overrides.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, a value out of range; names the field.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError("no such config file", value=str(path), action="Give the path of a TOML file") from None
    except OSError as error:
        raise ConfigError(
            f"the config file cannot be read: {error.strerror}", value=str(path), action="Give the path of a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name} is not TOML: {error}", action="Mend the line it names") from None
    return from_tree(with_overrides(tree, overrides))


def with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Put ``section.key=value`` overrides into a nested mapping; returns it. Raises ConfigError on a malformed one."""
    for override in overrides:
        _override(tree, override)
    return tree


def from_tree(tree: Mapping[str, Any]) -> Config:
    """Validate a nested mapping. Raises ConfigError naming every bad field."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(dict(e)) for e in error.errors()), action=_help_on(tree)) from None


def from_run_config(text: str, root: Path) -> Config:
    """Settings as Flower's run-config carries them, whose values cannot be lists, tables or null.

    ``text``: JSON of the sections and keys that differ from the defaults, or the path of a TOML file, relative to
    ``root``, the app's folder; empty means the defaults.

    Raises:
        ConfigError: as `load`, or the text is not JSON.
    """
    if not text.lstrip().startswith("{"):
        return load(root / text) if text else Config()
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"run-config's config is not JSON: {error}", value=text, action="Mend it, or give the path of a TOML file"
        ) from None
    return from_tree(tree)


def _override(tree: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError("an override must look like section.key=value", value=override, action="Write it so")
    _put(tree, key.strip(), _parsed(text.strip()))


def _parsed(text: str) -> Any:
    """JSON where it is JSON (numbers, lists, true, null), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError("a setting is used as a section", value=key, action=f"Set {parent} itself, or drop it")
    tree[leaf] = value


def _sentence(error: dict[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"]) or "config"
    if error["type"] == "extra_forbidden":
        return f"{field}: unknown key"
    shown = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{field}: {error['msg']}{shown}"


def _help_on(tree: Mapping[str, Any]) -> str:
    if any(key not in Config.model_fields for key in tree):
        return f"Sections are {', '.join(Config.model_fields)}"
    return "See the field's bounds in fedrec/settings/"
