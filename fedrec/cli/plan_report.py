"""What a plan comes to, as figures and as tables."""

from __future__ import annotations

from typing import Any

from fedrec.audit.prv import ERROR, prv_epsilon
from fedrec.console import figure, say, show_table
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


def show(found: dict[str, Any]) -> None:
    """Print a report as tables."""
    checks, signal, ways = found["accountants"], found["signal_to_noise"], found["advice"]
    server = found["epsilon_server"]
    rows = [
        ("noise multiplier", figure(found["noise_multiplier"], 4)),
        ("  as independent noise", figure(found["iid_equivalent"], 4)),
        ("  noise", found["noise"] + (f", {found['bands']} bands" if found["bands"] else "")),
        ("  added by", found["noise_place"]),
        ("turns of a device", f"at most {found['participations']:,} of {found['rounds']:,} rounds"),
        ("delta", f"{found['delta']:.3g}"),
        ("epsilon, released model", figure(found["epsilon_released"], 3)),
        ("epsilon, server", found["epsilon_server_reason"] if server is None else figure(server, 3)),
        ("  by loss distributions (PLD)", figure(checks["pld"], 3)),
        ("  by Opacus' PRV", f"{figure(checks['prv'], 3)} (its error, {figure(checks['prv_error'], 3)}, included)"),
        ("  by Renyi (RDP)", figure(checks["rdp"], 3)),
        ("signal over noise, a round", figure(signal["a_round"], 4)),
        ("signal over noise, whole run", figure(signal["whole_run"], 3)),
    ]
    if found["group"]["size"] > 1:
        rows.append((f"epsilon, {found['group']['size']} rows together", figure(found["group"]["epsilon_released"])))
    show_table(f"sampling {found['sampling']}, {found['cohort']:,} of {found['population']:,} devices", ("", ""), rows)
    say(f"Assumed: the mean update is {signal['coherence_assumed']:g} of the clip long (--coherence).")
    others = [
        (o["sampling"], o["noise"], figure(o["noise_multiplier"]), figure(o["iid_equivalent"]), figure(o["whole_run"]))
        for o in ways["other_noise"]
    ]
    if others:
        columns = ("sampling", "noise", "noise multiplier", "as independent", "signal over noise")
        show_table("The same epsilon with other noise", columns, others, numbers=(2, 3, 4))
    aim = ways["target_signal_to_noise"]
    if ways["reached"]:
        say(f"The signal to noise reaches {aim:g}.", style="bold")
        return
    say(f"What would reach a signal to noise of {aim:g}, all else as it is:", style="bold")
    more = ways["more_devices"]
    lines = [
        "no number of devices" if more is None else f"{more['population']:,} devices, {more['cohort']:,} a round",
        f"or at most {ways['fewer_parameters']:,} parameters",
        f"or epsilon {figure(ways['larger_epsilon'], 2)}",
    ]
    for line in lines:
        say(f"  {line}")
