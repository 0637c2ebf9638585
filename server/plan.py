"""What a run will ask, and what each query may cost: from a config to the spends that the ledger is held to."""

from __future__ import annotations

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import Query, Sampling, Spend
from fedrec.privacy.calibrate import delta_for, plan


def rows_of(config: Config, users: int) -> int:
    """The most rows that a training sum can hold: users, or their groups of interactions."""
    return users * (config.training.examples if config.privacy.unit == "example" else 1)


def delta_of(config: Config, users: int) -> float:
    """The delta of a run: as set, or users^-1.1."""
    return delta_for(users) if config.privacy.delta is None else config.privacy.delta


def rounds_of(config: Config) -> dict[Query, int]:
    """How often each query is asked."""
    settings = config.behaviour
    return {
        "popularity": int(settings.popularity),
        "cooccurrence": int(settings.cooccurrence),
        "training": config.training.rounds if config.model.tower else 0,
        "metrics": int(config.evaluation.private_metrics),
    }


def spends_of(config: Config, users: int) -> list[Spend]:
    """The noise of each query, so that all of them together cost the run's epsilon; empty for a run without noise.

    Raises:
        PrivacyError: the budget cannot be met.
        ConfigError: the shares or the sampling do not fit what is asked.
    """
    privacy = config.privacy
    if privacy.epsilon is None:
        return []
    if privacy.unit == "example" and (config.model.notes or config.model.photos):
        raise ConfigError(
            "unit 'example' protects interactions; notes and photos are of a user and would go unprotected",
            action="Set model.notes and model.photos to false, or privacy.unit to 'user'",
        )
    rounds = {query: count for query, count in rounds_of(config).items() if count}
    missing = sorted(set(rounds) - set(privacy.shares))
    if missing:
        raise ConfigError(
            "a query has no share of the privacy budget", value=missing, action="Add it to privacy.shares"
        )
    sampling: dict[Query, tuple[Sampling, float]] = {"training": (config.training.sampling, share_of(config, users))}
    return plan(privacy.epsilon, delta_of(config, users), {q: privacy.shares[q] for q in rounds}, rounds, sampling)


def share_of(config: Config, devices: int) -> float:
    """The (expected) share of the devices that take part in a training round; 1 for full participation."""
    if config.training.sampling == "full" or config.training.cohort == 0:
        return 1.0
    return min(1.0, config.training.cohort / devices)
