"""What a run promises, in plain words: for the report and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from fedrec.console import figure
from fedrec.run_values import finite, table

_SIMULATED: Final = (
    "Noise and sampling were derived from the seed, so that the run can be repeated: whoever knows the seed can take "
    "the noise off again. The figures above hold for the same run with secret noise."
)


def promises(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The privacy statement of a ``run.json``, as pairs of a short heading and one or two sentences.

    A figure that is null is said to be no promise; nothing is filled in.
    """
    privacy = table(run.get("privacy"))
    said = [
        ("Who gets the model", _released(privacy)),
        ("The server", _server(privacy, table(run.get("secure_aggregation")))),
        ("What was done", _done(privacy)),
    ]
    if said_of_tuning := table(privacy.get("tuning")).get("said"):
        said.append(("Tuning", f"{_first_upper(str(said_of_tuning))}."))
    if trust := privacy.get("trust"):
        said.append(("What must be trusted", f"{_first_upper('; '.join(map(str, trust)))}."))
    if table(table(run.get("config")).get("run")).get("reproducible"):
        said.append(("This was a simulation", _SIMULATED))
    if run.get("stopped"):
        said.append(("The run ended early", str(run["stopped"])))
    return said


def _released(privacy: Mapping[str, Any]) -> str:
    epsilon, delta = finite(privacy.get("epsilon_released")), finite(privacy.get("delta"))
    if epsilon is None:
        return "No promise: this run added no noise, so the released model may give away what single people did."
    unit = "one person's whole history" if privacy.get("unit") == "user" else "one single interaction"
    but = f" (except with a probability of about 1 in {1 / delta:,.0f})" if delta else ""
    return (
        f"Epsilon {figure(epsilon, 2)}: whether {unit} was used or not changes the odds of anything that can be read "
        f"out of the released model {_factor(epsilon)}{but}."
    )


def _server(privacy: Mapping[str, Any], sums: Mapping[str, Any]) -> str:
    epsilon = finite(privacy.get("epsilon_server"))
    protocol = sums.get("protocol") or "none"
    if protocol == "none":
        seen = "Secure aggregation was off: the server sees what each device sends."
    else:
        seen = f"Devices mask what they send ({protocol}): the server can open sums over many devices only."
    if epsilon is None:
        reason = privacy.get("epsilon_server_reason")
        return f"{seen} Against the server itself there is no promise in numbers{f' ({reason})' if reason else ''}."
    odds = f"the odds of what it can conclude about one {_unit(privacy)} change {_factor(epsilon)}"
    return f"{seen} Epsilon {figure(epsilon, 2)}: {odds}."


def _done(privacy: Mapping[str, Any]) -> str:
    parts = []
    if privacy.get("mechanism"):
        parts.append(f"mechanism {privacy['mechanism']}")
    if finite(privacy.get("noise_multiplier")) is not None:
        parts.append(f"noise multiplier {figure(finite(privacy['noise_multiplier']), 3)}")
    if privacy.get("sampling"):
        parts.append(f"sampling {privacy['sampling']}")
    if privacy.get("accountant"):
        parts.append(f"accountant {privacy['accountant']}")
    if privacy.get("adjacency"):
        parts.append(f"protected is the difference that it makes when {privacy['adjacency']}")
    elif privacy.get("unit"):
        parts.append(f"privacy unit: one {privacy['unit']}")
    return f"{_first_upper(', '.join(parts))}." if parts else "The run says nothing about it."


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _unit(privacy: Mapping[str, Any]) -> str:
    return "person" if privacy.get("unit") == "user" else "interaction"


def _factor(epsilon: float) -> str:
    """How far a probability's odds can move: e to the epsilon, in words."""
    if epsilon > 20:
        return "by a factor so large that the promise is empty"
    factor = math.exp(epsilon)
    return f"by a factor of at most {factor:,.0f}" if factor >= 10 else f"by a factor of at most {factor:.2f}"


def rating_words(run: Mapping[str, Any]) -> str | None:
    """A sentence on predicted ratings; None where none were predicted, or nobody could be measured."""
    found = table(table(run.get("quality")).get("ratings"))
    rmse, baseline = (finite(found.get(name)) for name in ("rmse", "baseline_rmse"))
    if rmse is None or baseline is None:
        return None
    return (
        f"Predicted ratings of held-out items of {found['users']:,} people: RMSE {figure(rmse)} (each one's own mean: "
        f"{figure(baseline)}), Pearson correlation {figure(finite(found.get('pearson')))}."
    )


def cold_item_words(run: Mapping[str, Any]) -> str | None:
    """A sentence on the items that were kept out of training; None where there were none."""
    cold = table(table(run.get("quality")).get("cold-items"))
    hits, times = (finite(cold.get(name)) for name in ("hr@10", "times_chance"))
    if hits is None or times is None:
        return None
    return (
        f"{cold['items']:,} items were kept out of training entirely. Each one that somebody had, against up to 99 of "
        f"the others: HR@10 {figure(hits)}, {figure(times, 1)} times chance."
    )
