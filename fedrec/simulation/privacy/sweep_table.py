"""The figures of a sweep: mean and standard deviation over seeds, for each curve and epsilon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any, Final

from fedrec.privacy.simulated import KEY as ABOUT
from fedrec.privacy.simulated import about
from fedrec.simulators_view import KEY, simulators_view

METRICS: Final = (
    ("loo-99neg", "hr@10", "HR@10 of 100"),
    ("loo-99neg", "ndcg@10", "NDCG@10 of 100"),
    ("loo-full", "hr@10", "HR@10 of all"),
    ("loo-full", "ndcg@10", "NDCG@10 of all"),
)
Result = tuple[str, float, int, Mapping[str, Any]]


def table_of(name: str, results: Sequence[Result]) -> dict[str, Any]:
    """All points, JSON-able, in the order of the results.

    ``results``: variant, epsilon (infinite without noise), seed and the content of run.json of each run.  A point's
    ``deviation`` is the sample standard deviation over seeds, null of one seed; its ``epsilon`` is null without noise.
    """
    places = list(dict.fromkeys((variant, epsilon) for variant, epsilon, _, _ in results))
    points = []
    for variant, epsilon in places:
        runs = [run for v, e, _, run in results if (v, e) == (variant, epsilon)]
        seeds = [seed for v, e, seed, _ in results if (v, e) == (variant, epsilon)]
        points.append(
            {
                "variant": variant,
                "epsilon": None if math.isinf(epsilon) else epsilon,
                "seeds": seeds,
                "quality": {f"{protocol}/{metric}": _spread(runs, protocol, metric) for protocol, metric, _ in METRICS},
                "epsilon_released": _greatest(runs, "epsilon_released"),
                "noise_multiplier": _greatest(runs, "noise_multiplier"),
                "stopped": sum(bool(run.get("stopped")) for run in runs),
                "seconds": [run["cost"]["seconds"] for run in runs],
            }
        )
    baselines = results[0][3].get("baselines", {}) if results else {}
    return {
        "schema": 1,
        ABOUT: about(reproducible=True)[ABOUT],
        KEY: simulators_view("quality"),
        "name": name,
        "points": points,
        "popularity": baselines.get("popularity"),
    }


def _spread(runs: Sequence[Mapping[str, Any]], protocol: str, metric: str) -> dict[str, Any]:
    values = [run["quality"][protocol][metric] for run in runs]
    if any(value is None for value in values):
        return {"mean": None, "deviation": None, "values": values}
    return {"mean": fmean(values), "deviation": stdev(values) if len(values) > 1 else None, "values": values}


def _greatest(runs: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [run["privacy"][key] for run in runs if run["privacy"][key] is not None]
    return max(values) if values else None
