"""Plans as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedrec.console import figure, say, show_table
from fedrec.privacy.adjacency import adjacency


def show_config_plan(found: Mapping[str, Any]) -> None:
    """Print what `fedrec.plan` found."""
    privacy, checks = found["privacy"], found["accountants"]
    if privacy["epsilon_released"] is None:
        say(f"{found['config']}: a run without noise claims nothing.", style="bold")
        return
    if privacy["noise_place"] == "server":
        say("The server is trusted with exact sums: it sees each before it adds the noise.", style="bold")
    if found["own"]:
        _show_own(found["own"])
    else:
        _show_queries(privacy["queries"])
    server = privacy["epsilon_server"]
    rows = [
        ("one", privacy["unit"]),
        ("noise added by", {"server": "the server", "distributed": "devices together"}.get(privacy["noise_place"])),
        ("bands", found["bands"]),
        ("delta", f"{privacy['delta']:.3g}"),
        ("epsilon, released model", figure(privacy["epsilon_released"], 3)),
        ("epsilon, server", privacy["epsilon_server_reason"] if server is None else figure(server, 3)),
    ]
    if checks is not None:
        rows += [
            ("  by loss distributions (PLD)", figure(checks["pld"], 3)),
            ("  by Opacus' PRV", _prv(checks)),
            ("  by Renyi (RDP)", figure(checks["rdp"], 3)),
        ]
    if found["group"] and found["group"]["size"] > 1:
        rows.append((f"epsilon, {found['group']['size']} rows together", figure(found["group"]["epsilon_released"])))
    title = f"{found['config']}: {found['population']:,} users on {found['devices']:,} devices"
    show_table(title, ("", ""), [(name, str(value)) for name, value in rows if value is not None])
    say(f"Protected is the difference that it makes when {privacy['adjacency']}.")


def _show_queries(queries: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            one["query"],
            f"{one['rounds']:,}",
            one["sampling"],
            f"{one['participations']:,}",
            figure(one["noise_multiplier"], 4),
        )
        for one in queries
    ]
    columns = ("query", "rounds", "sampling", "turns of a row", "noise multiplier")
    show_table("What is asked, and the noise of each sum", columns, rows, numbers=(1, 3, 4))


def _show_own(own: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        (
            f"{one['interactions']:,}",
            f"{one['participations']:,} of {one['steps_a_turn']:,} steps",
            figure(one["probability"], 4),
            figure(one["noise_multiplier"], 4),
            figure(one["epsilon"], 3),
        )
        for one in own
    ]
    columns = ("interactions", "turns", "chance to be in a step", "noise multiplier", "epsilon")
    show_table("What a device of so many interactions adds by itself", columns, rows, numbers=(0, 2, 3, 4))


def show_target_plan(found: Mapping[str, Any]) -> None:
    """Print what `fedrec.plan_target` found."""
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
        ("  by Opacus' PRV", _prv(checks)),
        ("  by Renyi (RDP)", figure(checks["rdp"], 3)),
        ("signal over noise, a round", figure(signal["a_round"], 4)),
        ("signal over noise, whole run", figure(signal["whole_run"], 3)),
    ]
    if found["group"]["size"] > 1:
        rows.append((f"epsilon, {found['group']['size']} rows together", figure(found["group"]["epsilon_released"])))
    kept = ", secret cohorts" if found["secret_cohorts"] else ""
    show_table(
        f"sampling {found['sampling']}{kept}, {found['cohort']:,} of {found['population']:,} devices", ("", ""), rows
    )
    say(f"Protected is the difference that it makes when {adjacency('user')}.")
    say(f"Assumed: the mean update is {signal['coherence_assumed']:g} of the clip long (--coherence).")
    others = [
        (
            _named(o["sampling"], o["secret_cohorts"]),
            o["noise"],
            figure(o["noise_multiplier"]),
            figure(o["iid_equivalent"]),
            figure(o["whole_run"]),
        )
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


def show_by_sampling(found: Mapping[str, Any]) -> None:
    """Print what `fedrec.api.target_plan.by_sampling` found."""
    rows = [
        (
            one["sampling"],
            one["noise"],
            "yes" if one["amplified"] else "no",
            f"{one['participations']:,}",
            *(figure(noise, 3) for noise in one["iid_equivalent"]),
        )
        for one in found["samplings"]
    ]
    targets = [f"epsilon {epsilon:g}" for epsilon in found["epsilons"]]
    title = (
        f"Noise multiplier, as independent noise: {found['cohort']:,} of {found['population']:,} devices, "
        f"{found['rounds']:,} rounds, delta {found['delta']:.3g}"
    )
    columns = ("sampling", "noise", "amplified", "turns of a device", *targets)
    show_table(title, columns, rows, numbers=tuple(range(3, len(columns))))
    chosen = next(one["groups"] for one in found["samplings"] if one["sampling"] == "cyclic-poisson")
    say(f"Groups of cyclic-poisson, the best of a few numbers: {', '.join(map(str, chosen))}.")
    say("Amplified: who is asked is known to the server only. Towards the server itself, no row is.")


def _named(sampling: str, secret: bool) -> str:
    return f"{sampling}, secret" if secret and sampling == "fixed" else sampling


def _prv(checks: Mapping[str, Any]) -> str:
    if checks["prv"] is None:
        return figure(None)
    return f"{figure(checks['prv'], 3)} (its error, {figure(checks['prv_error'], 3)}, included)"
