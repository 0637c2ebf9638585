"""What of a run's plan follows from its settings, whatever its queries are: delta, who takes part when, and bands.

Server and devices reckon it each for themselves, from the same settings; the plan itself is `fedrec.queries.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fedrec.config import Config
from fedrec.privacy.accountant import QueryCost, rounds_apart
from fedrec.privacy.calibrate import delta_for


def is_local(config: Config) -> bool:
    """Whether each device makes its own contribution private."""
    return config.privacy.noise_place == "local"


def delta_of(config: Config, users: int) -> float:
    """The delta of a run: as set, or users^-1.1."""
    return delta_for(users) if config.privacy.delta is None else config.privacy.delta


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
    if config.training.sampling in ("cyclic", "balls-in-bins"):
        return 1 / minimum_separation_of(config, devices)
    return min(1.0, config.training.cohort / devices)


def minimum_separation_of(config: Config, devices: int) -> int:
    """Rounds from one participation of a device to its next: as many as there are groups to deal into, else 1."""
    if config.training.sampling not in ("cyclic", "balls-in-bins") or config.training.cohort == 0:
        return 1
    return rounds_apart(devices, config.training.cohort)
