"""Lower bounds beside claims on the shop, many seeds for each epsilon: a table, and the numbers behind it.

Run it with ``python -m simulations.benchmarks.privacy_audit --out DIR``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import binom

from fedrec.audit.families import Claim
from fedrec.audit.guesses import expected_count
from fedrec.audit.one_run import GuessCount
from fedrec.audit.verdict import bounds, plan_guesses
from fedrec.config import Config, from_tree
from fedrec.console import PlainReporter, jsonable
from fedrec.privacy.accountant import QueryCost, gaussian_noise
from fedrec.simulation.privacy.auditing import audit
from fedrec.simulation.shop.generate import write_shop

_COLUMNS = (
    "claim",
    "runs",
    "one-run bound: median, highest",
    "f-DP bound: median, highest",
    "runs above the claim",
    "f-DP bound, all runs",
    "estimate: mean (sd)",
    "false alarm",
    "s a run",
)


def study(config: Config, data: Path, epsilons: Sequence[float], seeds: int) -> dict[str, Any]:
    """`audit` with as many seeds for each epsilon, and how likely a claim that is right would be refuted."""
    found = audit(config, data, epsilons=epsilons, seeds=range(seeds), reporter=PlainReporter())
    for one in found["audits"]:
        claim = one["claim"]
        one["false_alarm"] = false_alarm(claim["epsilon"], claim["delta"], found["canaries"], one["confidence"])
    return found


def false_alarm(epsilon: float, delta: float, canaries: int, confidence: float) -> float:
    """The chance that one run whose claim is exactly right is refuted, with perfect canaries; by normal scores.

    Guesses about the canaries with the most extreme scores are right independently of each other, nearly; each bound
    has its number of right guesses from which it is above the claim.
    """
    claim = Claim((QueryCost("training", gaussian_noise(epsilon, delta)),), delta)
    plan = plan_guesses(claim, canaries, confidence)
    chance = 0.0
    for name, guesses in (("one_run", plan.one_run), ("f_dp", plan.f_dp)):
        low, high = 0, guesses + 1
        while high - low > 1:
            middle = (low + high) // 2
            above = _bound(claim, name, GuessCount(canaries, guesses, middle), confidence) > claim.epsilon
            low, high = (low, middle) if above else (middle, high)
        right = expected_count(canaries, guesses, claim.mu).correct / guesses
        chance += float(binom.sf(high - 1, guesses, right))
    return chance


def _bound(claim: Claim, name: str, count: GuessCount, confidence: float) -> float:
    return float(bounds(claim, {"one_run": count, "f_dp": count}, confidence)[name]["epsilon_lower_bound"])


def markdown(found: Mapping[str, Any], command: str, cores: int) -> str:
    """The table."""
    data, first = found["data"], found["audits"][0]
    lines = [
        "# Claims and lower bounds on the shop",
        "",
        f"{data['users']:,} users, {data['items']:,} items, {found['canaries']:,} canary users, each in or out by a",
        f"fair coin; {found['asked']};",
        f"delta {first['claim']['delta']:g}. Both bounds of a run hold together at {first['confidence']:.0%}.",
        "An estimate is not a bound. `all runs`: the guesses of all seeds as one experiment.",
        "False alarm: the chance that one run whose claim is exactly right is refuted, if each canary is the",
        f"worst case. Measured with one thread on {cores} cores shared with other work. `{command}`",
        "",
        "| " + " | ".join(_COLUMNS) + " |",
        "|" + "---:|" * len(_COLUMNS),
    ]
    return "\n".join([*lines, *(_line(one) for one in found["audits"])]) + "\n"


def _line(one: Mapping[str, Any]) -> str:
    runs = one["runs"]
    single = np.array([run["one_run"]["epsilon_lower_bound"] for run in runs])
    curve = np.array([run["f_dp"]["epsilon_lower_bound"] for run in runs])
    guessed = np.array([run["estimate"]["epsilon"] for run in runs], dtype=np.float64)
    cells = [
        f"{one['claim']['epsilon']:.2f}",
        f"{len(runs)}",
        f"{np.median(single):.2f}, {single.max():.2f}",
        f"{np.median(curve):.2f}, {curve.max():.2f}",
        f"{sum(run['violated'] for run in runs)}",
        f"{one['f_dp']['epsilon_lower_bound']:.2f}",
        f"{guessed.mean():.2f} ({guessed.std(ddof=1):.2f})",
        f"{one['false_alarm']:.0e}",
        f"{np.mean([run['seconds'] for run in runs]):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Run the study and write its two files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the table and the numbers")
    parser.add_argument("--users", type=int, default=200)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--canaries", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--factors", action="store_true", help="private power iteration, and nothing trained")
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--epsilon", type=float, nargs="+", default=[1.0, 4.0, 8.0])
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    config = from_tree(
        {
            "model": {"preset": "factors"} if asked.factors else {},
            "training": {"rounds": asked.rounds, "negatives": 64},
            "privacy": {"epsilon": asked.epsilon[0], "delta": asked.delta},
            "audit": {"canaries": asked.canaries},
        }
    )
    began = time.perf_counter()
    with TemporaryDirectory(prefix="fedrec-shop-") as place:
        shop = Path(place) / "shop"
        write_shop(shop, users=asked.users, items=asked.items, seed=0, private_users=0)
        found = study(config, shop, asked.epsilon, asked.seeds)
    trained = f"popularity, co-occurrence and {asked.rounds} rounds of training"
    said = "popularity, a round of directions and one of factors" if asked.factors else trained
    found |= {"asked": said, "seconds": round(time.perf_counter() - began, 1)}
    given = " ".join(sys.argv[1:]).replace(str(asked.out), "DIR")
    asked.out.mkdir(parents=True, exist_ok=True)
    text = markdown(found, f"python -m simulations.benchmarks.privacy_audit {given}", os.cpu_count() or 1)
    (asked.out / "privacy_audit.md").write_text(text, encoding="utf-8")
    (asked.out / "privacy_audit.json").write_text(json.dumps(jsonable(found), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
