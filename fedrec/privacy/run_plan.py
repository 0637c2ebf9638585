"""What of a run's plan follows from its settings, whatever its queries are: delta, who takes part when, and bands.

Server and devices reckon it each for themselves, from the same settings; the plan itself is `fedrec.queries.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedrec.config import Config
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import QueryCost, rounds_apart
from fedrec.privacy.calibrate import delta_for


def is_local(config: Config) -> bool:
    """Whether each device makes its own contribution private."""
    return config.privacy.noise_place == "local"


def delta_of(config: Config, users: int) -> float:
    """The delta of a run: as set, or N^-1.1, N the number of privacy units.

    Raises:
        ConfigError: the unit is one interaction, and how many there are is in no setting.
    """
    if config.privacy.delta is not None:
        return config.privacy.delta
    if config.privacy.unit == "example" and config.privacy.epsilon is not None:
        raise ConfigError(
            "with privacy.unit 'example' a delta is of the number of interactions, which users do not tell",
            value=users,
            action="Set privacy.delta to that number to the -1.1 (simulations count for themselves)",
        )
    return delta_for(users)


def with_interactions_counted(config: Config, interactions: int) -> Config:
    """The settings with the delta that follows from so many interactions, where these are the units and none is set."""
    if config.privacy.delta is not None or config.privacy.unit != "example" or config.privacy.epsilon is None:
        return config
    privacy = config.privacy.model_copy(update={"delta": delta_for(interactions)})
    return config.model_copy(update={"privacy": privacy})


def claimed(plan: Sequence[QueryCost], charged: Sequence[QueryCost]) -> list[QueryCost]:
    """What a run claims that ended as soon as what it had learned said so: all that it could have asked.

    When to stop is then learned from the data, and what was not asked tells something, too.  What such a run shows is
    the beginning of what the whole plan would have shown, so the plan's cost covers it.  What the ledger was charged is
    less, and whatever budget is left can be spent on something else (Smith and Thakurta, 2022).
    """
    asked = {replace(cost, rounds=1): cost.rounds for cost in charged}
    covered = {replace(cost, rounds=1) for cost in plan}
    whole = [replace(cost, rounds=max(cost.rounds, asked.get(replace(cost, rounds=1), 0))) for cost in plan]
    return [*whole, *(cost for cost in charged if replace(cost, rounds=1) not in covered)]


def in_full(cost: QueryCost) -> QueryCost:
    """What one more attempt at a round costs where each attempt may have been opened: a release that every row is in.

    Nothing is claimed for who was drawn: the turns of a plan foresee no attempt more.
    """
    return QueryCost(cost.query, cost.noise_multiplier, mechanism=cost.mechanism)


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
    if config.training.sampling in ("cyclic", "balls-in-bins"):
        return 1 / minimum_separation_of(config, devices)
    return min(1 / minimum_separation_of(config, devices), config.training.cohort / devices)


def probability_of(config: Config, devices: int) -> float:
    """A device's chance to be in a training round; where groups of devices are sampled, in one of its group's."""
    groups = minimum_separation_of(config, devices) if config.training.sampling == "cyclic-poisson" else 1
    return min(1.0, share_of(config, devices) * groups)


def minimum_separation_of(config: Config, devices: int) -> int:
    """Rounds from one participation of a device to its next: as many as there are groups to deal into, else 1."""
    sampling = config.training.sampling
    if sampling not in ("cyclic", "balls-in-bins", "cyclic-poisson") or config.training.cohort == 0:
        return 1
    if sampling == "cyclic-poisson":
        return config.training.groups
    return rounds_apart(devices, config.training.cohort)
