"""What the plan of one training comes to, in figures."""

from __future__ import annotations

from typing import Any

from fedrec.audit.prv import ERROR, prv_epsilon
from fedrec.privacy.accountant import epsilon_without_amplification
from fedrec.privacy.conversions import group_epsilon
from fedrec.privacy.crosscheck import pld_epsilon, rdp_epsilon
from fedrec.privacy.planner import (
    Planned,
    epsilon_needed,
    least_population,
    most_parameters,
    noise_alternatives,
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
        "accountants": {
            "pld": pld_epsilon([cost], planned.delta),
            "prv": prv_epsilon([cost], planned.delta, about=planned.epsilon_released),
            "prv_error": ERROR * planned.epsilon_released,
            "rdp": rdp_epsilon([cost], planned.delta),
        },
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
