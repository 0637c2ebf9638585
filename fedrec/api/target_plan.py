"""What the plan of one training comes to, in figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from fedrec.api.accountants import by_three
from fedrec.privacy.accountant import Sampling, epsilon_without_amplification
from fedrec.privacy.conversions import group_epsilon
from fedrec.privacy.planner import (
    Noise,
    Planned,
    Setting,
    best_groups,
    epsilon_needed,
    least_population,
    make_plan,
    most_parameters,
    noise_alternatives,
)

# Samplings, whether their cohorts are kept secret, where that is a choice, and noise.
KINDS: Final[tuple[tuple[Sampling, bool, Noise], ...]] = (
    ("full", False, "independent"),
    ("fixed", False, "independent"),
    ("fixed", True, "independent"),
    ("cyclic", False, "independent"),
    ("balls-in-bins", False, "independent"),
    ("poisson", False, "independent"),
    ("cyclic", False, "banded"),
    ("cyclic-poisson", False, "banded"),
)
UNBOUNDED = "unbounded: the server sees every sum before it adds the noise"


def report(planned: Planned, ratio: float, group: int = 1) -> dict[str, Any]:
    """The plan, JSON-able: its noise, its epsilons by each accountant, its signal to noise, and advice.

    ``group``: the number of rows together whose epsilon is told, at the same delta.
    """
    setting, cost = planned.setting, planned.cost
    return {
        "population": setting.population,
        "cohort": setting.asked,
        "rounds": setting.rounds,
        "target_epsilon": setting.epsilon,
        "delta": planned.delta,
        "sampling": cost.sampling,
        "secret_cohorts": cost.secret,
        "probability": cost.probability,
        "minimum_separation": cost.minimum_separation,
        "participations": cost.participations,
        "noise": setting.noise,
        "bands": planned.bands,
        "noise_place": setting.place,
        "noise_multiplier": cost.noise_multiplier,
        "iid_equivalent": planned.equivalent,
        "epsilon_released": planned.epsilon_released,
        "epsilon_server": planned.epsilon_server,
        "epsilon_server_reason": UNBOUNDED if planned.epsilon_server is None else None,
        "epsilon_without_amplification": epsilon_without_amplification([cost], planned.delta),
        "group": {"size": group, "epsilon_released": group_epsilon([cost], planned.delta, group)},
        "accountants": by_three([cost], planned.delta, planned.epsilon_released),
        "signal_to_noise": {
            "parameters": setting.parameters,
            "clip": setting.clip,
            "coherence_assumed": setting.coherence,
            "signal_norm_a_round": setting.clip * setting.coherence,
            "noise_norm_a_round": planned.added * setting.clip * setting.parameters**0.5 / setting.asked,
            "a_round": planned.per_round,
            "whole_run": planned.over_run,
        },
        "advice": advice(planned, ratio),
    }


def advice(planned: Planned, ratio: float) -> dict[str, Any]:
    """Each way to a signal to noise of ``ratio`` over the whole run, computed with all else left as it is."""
    reached = planned.over_run >= ratio
    more = None if reached else least_population(planned, ratio)
    return {
        "target_signal_to_noise": ratio,
        "reached": reached,
        "other_noise": [
            {
                "sampling": other.setting.sampling,
                "secret_cohorts": other.cost.secret,
                "noise": other.setting.noise,
                "noise_multiplier": other.cost.noise_multiplier,
                "iid_equivalent": other.equivalent,
                "cohort": other.setting.asked,
                "whole_run": other.over_run,
                "reaches": other.over_run >= ratio,
            }
            for other in noise_alternatives(planned)
        ],
        "more_devices": None
        if more is None
        else {"population": more.setting.population, "cohort": more.setting.asked, "whole_run": more.over_run},
        "fewer_parameters": None if reached else most_parameters(planned, ratio),
        "larger_epsilon": None if reached else epsilon_needed(planned, ratio),
    }


def by_sampling(
    population: int, cohort: int, rounds: int, epsilons: Sequence[float], delta: float | None = None
) -> dict[str, Any]:
    """The noise multiplier of each sampling for each released epsilon, JSON-able: how much the account of it gains.

    ``amplified``: whether that who is asked is secret is counted on; without, a device counts in every round that it
    may be in.  ``iid_equivalent``: the multiplier of independent noise that leaves the same error, of banded noise.
    """
    rows = []
    for sampling, secret, noise in KINDS:
        setting = Setting(
            population, cohort, rounds, epsilons[0], sampling=sampling, secret=secret, noise=noise, delta=delta
        )
        find = best_groups if sampling == "cyclic-poisson" else make_plan
        plans = [find(replace(setting, epsilon=target)) for target in epsilons]
        rows.append(
            {
                "sampling": sampling,
                "noise": noise,
                "amplified": plans[0].cost.amplified,
                "participations": max(planned.cost.participations for planned in plans),
                "groups": [planned.cost.minimum_separation for planned in plans],
                "noise_multiplier": [planned.cost.noise_multiplier for planned in plans],
                "iid_equivalent": [planned.equivalent for planned in plans],
            }
        )
    return {
        "population": population,
        "cohort": cohort,
        "rounds": rounds,
        "delta": plans[0].delta,
        "epsilons": list(epsilons),
        "samplings": rows,
    }
