"""The plan of a config: what a run of it is charged, to the last digit, before anybody is asked.

The spends are those that the run's server holds its ledger to (`fedrec.queries.plan`), or, where devices add all noise
themselves, those that each of them holds its own ledger to (`fedrec.privacy.local`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fedrec.api.accountants import by_three
from fedrec.config import Config, with_protocol
from fedrec.config.presets import with_preset
from fedrec.errors import ConfigError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.conversions import group_epsilon
from fedrec.privacy.local import known_count, local_cost, turns_of
from fedrec.privacy.registry import MECHANISMS
from fedrec.privacy.run_plan import delta_of, is_local
from fedrec.queries.plan import costs_of, statement_of
from fedrec.queries.registry import QUERIES
from fedrec.queries.sizing import sized_by_noise
from fedrec.server.sampled_cohorts import check_sampled_cohorts, delta_of_samples
from fedrec.server.sampling import Sampler

# Numbers of interactions whose devices are shown where how many a device has decides its noise.
INTERACTIONS = (16, 64, 256)


def settled(config: Config) -> Config:
    """The settings that a run really has, whatever its engine: the preset's beneath, and a protocol."""
    config = with_preset(config)
    return with_protocol(config, config.run.engine)


def planned(config: Config, users: int, devices: int) -> tuple[list[QueryCost], float]:
    """What a run of settled settings over so many users and devices is charged, and its delta.

    Canaries are asked as users are, and the delta stays that of the users.

    Raises:
        PrivacyError: the budget cannot be met.
        ConfigError: the settings do not fit each other or so many devices.
    """
    delta, canaries = delta_of(config, users), config.audit.canaries
    check_sampled_cohorts(config, devices + canaries)
    Sampler(config, devices + canaries, bytes(32))
    privacy = config.privacy.model_copy(update={"delta": delta})
    return costs_of(config.model_copy(update={"privacy": privacy}), users + canaries, devices + canaries), delta


def own_plans(config: Config, devices: int, interactions: Sequence[int]) -> list[dict[str, Any]]:
    """What devices of so many interactions charge their own ledgers, where they add all noise; empty elsewhere."""
    found = []
    for count in interactions if is_local(config) else ():
        cost, participations = local_cost(config, count, devices), turns_of(config, devices)
        if cost is not None and config.privacy.delta is not None:
            whole = QueryCost(
                "training", cost.noise_multiplier, cost.rounds * participations, cost.sampling, cost.probability
            )
            found.append(
                {
                    "interactions": count,
                    "taken_as": known_count(count),
                    "participations": participations,
                    "steps_a_turn": cost.rounds,
                    "sampling": cost.sampling,
                    "probability": cost.probability,
                    "noise_multiplier": cost.noise_multiplier,
                    "epsilon": epsilon([whole], config.privacy.delta),
                }
            )
    return found


def _needed(items: int | None) -> int:
    if items is None:
        raise ConfigError(
            "with collaborative.follows_noise what is asked follows from the size of the catalogue, too",
            action="Give it: --items, or items=",
        )
    return items


def report(
    config: Config,
    users: int,
    *,
    devices: int | None = None,
    interactions: Sequence[int] = (),
    group: int = 1,
    checks: bool = True,
    items: int | None = None,
) -> dict[str, Any]:
    """The plan of a config, JSON-able.

    ``privacy``: word for word what run.json will say of a run that goes to its end.  ``own``: see `own_plans`.
    ``accountants``: the same spends by three accountants, null where there are none, or without ``checks``.  Raises as
    `planned` does.
    """
    config, devices = settled(config), users if devices is None else devices
    if config.collaborative.follows_noise:
        config = sized_by_noise(config, users, _needed(items))
    costs, delta = planned(config, users, devices)
    privacy = statement_of(config, costs, delta, delta_of_samples=delta_of_samples(config, users, devices))
    details: dict[str, int] = {}
    for cost in costs:
        details |= MECHANISMS[QUERIES[cost.query].mechanism(config)].details(cost, config.privacy.bands)
    return {
        "config": config.run.name,
        "population": users,
        "devices": devices,
        "canaries": config.audit.canaries,
        "target_epsilon": config.privacy.epsilon,
        "bands": details.get("bands"),
        "privacy": privacy,
        "own": own_plans(config, devices, interactions or INTERACTIONS),
        "group": {"size": group, "epsilon_released": group_epsilon(costs, delta, group)} if costs else None,
        "accountants": by_three(costs, delta, privacy["epsilon_released"]) if costs and checks else None,
    }
