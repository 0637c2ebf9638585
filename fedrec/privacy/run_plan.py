"""What a run will ask, and what each query may cost: from a config to the spends that ledgers are held to.

Server and devices reckon it each for themselves, from the same settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import Query, QueryCost, Sampling, rounds_apart
from fedrec.privacy.banded import best_bands
from fedrec.privacy.calibrate import delta_for, plan


def rows_of(config: Config, users: int) -> int:
    """The most rows that a training sum can hold: users, or their groups of interactions.

    Of devices that add all noise themselves (`fedrec.privacy.local`), each adds one row: its change of the model.
    """
    if is_local(config):
        return users
    return users * (config.training.examples if config.privacy.unit == "example" else 1)


def is_local(config: Config) -> bool:
    """Whether each device makes its own contribution private."""
    return config.privacy.noise_place == "local"


def delta_of(config: Config, users: int) -> float:
    """The delta of a run: as set, or users^-1.1."""
    return delta_for(users) if config.privacy.delta is None else config.privacy.delta


def rounds_of(config: Config) -> dict[Query, int]:
    """How often each query is asked."""
    settings = config.collaborative
    return {
        "popularity": int(settings.popularity),
        "cooccurrence": int(settings.cooccurrence.enabled),
        "directions": settings.power_iteration.steps,
        "factors": int(settings.power_iteration.enabled),
        "training": config.training.rounds if config.model.tower else 0,
        "validation": len(config.training.validated) if config.model.tower else 0,
        "metrics": int(config.evaluation.private_metrics),
    }


def costs_of(config: Config, users: int, devices: int | None = None) -> list[QueryCost]:
    """The noise of each query, so that all of them together cost the run's epsilon; empty for a run without noise.

    Empty too where devices add all noise themselves: then no noise goes by the sum, see `fedrec.privacy.local`.

    ``devices``: how many there are, of which training draws; one a user where it is None.

    Raises:
        PrivacyError: the budget cannot be met.
        ConfigError: the shares or the sampling do not fit what is asked.
    """
    privacy = config.privacy
    if privacy.epsilon is None or is_local(config):
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
    devices = users if devices is None else devices
    sampling: dict[Query, tuple[Sampling, float]] = {
        "training": (_accounted_sampling(config, users, devices), share_of(config, devices))
    }
    minimum_separation: dict[Query, int] = {"training": minimum_separation_of(config, devices)}
    shares = {query: privacy.shares[query] for query in rounds}
    return plan(privacy.epsilon, delta_of(config, users), shares, rounds, sampling, minimum_separation)


def claimed(plan: Sequence[QueryCost], charged: Sequence[QueryCost]) -> list[QueryCost]:
    """What a run claims that ended as soon as what it had learned said so: all that it could have asked.

    When to stop is then learned from the data, and what was not asked tells something, too.  What such a run shows is
    the beginning of what the whole plan would have shown, so the plan's cost covers it.  What the ledger was charged is
    less, and whatever budget is left can be spent on something else (Smith and Thakurta, 2022).
    """
    asked = {cost.query: cost.rounds for cost in charged}
    return [replace(cost, rounds=max(cost.rounds, asked.get(cost.query, 0))) for cost in plan]


def first_rounds(plan: Sequence[QueryCost], count: int) -> list[QueryCost]:
    """The first ``count`` rounds of a plan."""
    kept = []
    for cost in plan:
        rounds = min(cost.rounds, count)
        count -= rounds
        kept += [replace(cost, rounds=rounds)] if rounds else []
    return kept


def share_of(config: Config, devices: int) -> float:
    """The (expected) share of the devices that take part in a training round; 1 for full participation."""
    if config.training.sampling == "full" or config.training.cohort == 0:
        return 1.0
    if config.training.sampling == "cyclic":
        return 1 / minimum_separation_of(config, devices)
    return min(1.0, config.training.cohort / devices)


def minimum_separation_of(config: Config, devices: int) -> int:
    """Rounds from one turn of a device to its next: with cyclic sampling as many as there are groups, else 1."""
    if config.training.sampling != "cyclic" or config.training.cohort == 0:
        return 1
    return rounds_apart(devices, config.training.cohort)


def bands_of(config: Config, cost: QueryCost) -> int:
    """The bands of banded noise for a training spend: as set, or the best number that its turns allow.

    Raises:
        ConfigError: more are set than the spend has rounds, or than lie between two turns of a device.
    """
    most = min(cost.rounds, cost.minimum_separation)
    if config.privacy.bands > most:
        raise ConfigError(
            f"privacy.bands is at most {most} where a device's turns are {cost.minimum_separation} rounds apart",
            value=config.privacy.bands,
            action="Set privacy.bands lower, or to 0 for the best number",
        )
    return config.privacy.bands or best_bands(cost.rounds, cost.minimum_separation)


def _accounted_sampling(config: Config, users: int, devices: int) -> Sampling:
    """The sampling that may be claimed.

    Amplification holds for rows that are drawn independently.  Rows of one device come together, so where a device
    holds several, a Poisson sample of devices is accounted as if its size were fixed: without amplification.
    """
    several = config.privacy.unit == "example" or devices < users
    return "fixed" if config.training.sampling == "poisson" and several else config.training.sampling
