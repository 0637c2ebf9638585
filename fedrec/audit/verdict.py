"""What guesses about canaries say of a claim: two lower bounds, and an estimate that is not a bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrec.audit.families import Claim
from fedrec.audit.fdp import fdp_p_value
from fedrec.audit.guesses import expected_count, guess, numbers_of_guesses
from fedrec.audit.one_run import GuessCount, epsilon_lower_bound, level_of, p_value
from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon

# Beyond these the distance between scores says "no noise", or nothing.
_LEAST_MU, _MOST_MU = 1e-6, 100.0


@dataclass(frozen=True)
class GuessPlan:
    """How many guesses each bound is made from; settled from the claim alone, before a coin is looked at."""

    one_run: int
    f_dp: int


@lru_cache(maxsize=64)
def plan_guesses(claim: Claim, canaries: int, confidence: float) -> GuessPlan:
    """The numbers that would give the best bounds, were the claim exact and the canaries perfect."""

    def best(bound: Callable[[GuessCount], float]) -> int:
        return max(numbers_of_guesses(canaries), key=lambda r: bound(expected_count(canaries, r, claim.mu)))

    each = joint(confidence)
    exact = Claim((QueryCost("training", 1 / claim.mu),), claim.delta)
    return GuessPlan(
        one_run=best(lambda count: epsilon_lower_bound(count, claim.delta, each)),
        f_dp=best(lambda count: exact.lower_bound(count, each)),
    )


def joint(confidence: float) -> float:
    """The confidence of each of two bounds, so that both hold together with ``confidence`` (Bonferroni)."""
    return 1 - level_of(confidence) / 2


def count_guesses(scores: NDArray[np.float64], included: NDArray[np.bool_], plan: GuessPlan) -> dict[str, GuessCount]:
    """The guesses of each bound, by its name."""
    return {"one_run": guess(scores, included, plan.one_run), "f_dp": guess(scores, included, plan.f_dp)}


def bounds(claim: Claim, counts: dict[str, GuessCount], confidence: float) -> dict[str, Any]:
    """JSON-able: the claim and both lower bounds at its delta, which hold together with ``confidence``.

    ``violated``: the claim itself is refuted, so a lower bound is at or above it.  If the claim is right, that happens
    with a probability of at most ``1 - confidence``.
    """
    each = joint(confidence)
    one, curve = counts["one_run"], counts["f_dp"]
    found = {
        "one_run": _facts(one, epsilon_lower_bound(one, claim.delta, each), p_value(one, claim.epsilon, claim.delta)),
        "f_dp": {
            **_facts(curve, claim.lower_bound(curve, each), fdp_p_value(curve, claim.tradeoff())),
            "family": claim.family,
        },
    }
    highest = max(float(found[name]["epsilon_lower_bound"]) for name in found)
    return {
        "claim": {"epsilon": claim.epsilon, "delta": claim.delta},
        "confidence": confidence,
        **found,
        "epsilon_lower_bound": highest,
        "violated": min(float(found[name]["p_value_of_claim"]) for name in found) <= 1 - each,
    }


def _facts(count: GuessCount, bound: float, p: float) -> dict[str, Any]:
    return {
        "guesses": count.guesses,
        "correct": count.correct,
        "epsilon_lower_bound": bound,
        "p_value_of_claim": p,
    }


def estimate(claim: Claim, scores: NDArray[np.float64], included: NDArray[np.bool_]) -> dict[str, Any]:
    """How far the scores of canaries that were in lie from those that were out, read as a Gaussian mechanism.

    The distance of the means in pooled standard deviations is mu where scores are normal and canaries do not disturb
    each other (in the manner of Andrew et al. 2024, "One-shot Empirical Privacy Estimation for Federated Learning").
    An estimate, with no confidence attached; ``epsilon`` null where one side has fewer than two canaries, and where the
    claim counts on secret sampling or noise that is not Gaussian, under which scores are far from normal.
    """
    note = "an estimate, not a bound: it takes scores for normal and these canaries for the worst case"
    if not claim.exact:
        return {
            "epsilon": None,
            "mu": None,
            "note": "none: under secret sampling or other noise scores are not normal",
        }
    inside, outside = scores[included], scores[~included]
    if min(len(inside), len(outside)) < 2:
        return {"epsilon": None, "mu": None, "note": note}
    spread = math.sqrt((float(inside.var(ddof=1)) + float(outside.var(ddof=1))) / 2)
    distance = float(inside.mean() - outside.mean())
    if not spread > 0 or distance / spread > _MOST_MU:
        return {"epsilon": None, "mu": None, "note": note}
    mu = max(0.0, distance / spread)
    found = epsilon([QueryCost("training", 1 / mu)], claim.delta) if mu > _LEAST_MU else 0.0
    return {"epsilon": found, "mu": mu, "note": note}


def pooled(counts: list[dict[str, GuessCount]]) -> dict[str, GuessCount]:
    """The guesses of several independent runs of one claim, as one.

    A coin is in one run only, so turning it over changes what all runs release together no more than it changes that
    run: the bounds hold for the runs together, and with more canaries they are tighter.

    Raises:
        PrivacyError: there is no run.
    """
    if not counts:
        raise PrivacyError("no run to pool guesses of")
    total = dict(counts[0])
    for more in counts[1:]:
        total = {name: total[name] + more[name] for name in total}
    return total
