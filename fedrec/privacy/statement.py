"""The privacy statement: what a run claims, for whom, and what must be believed for it to hold."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, assert_never

from fedrec.privacy.accountant import (
    QueryCost,
    check_delta,
    epsilon,
    epsilon_without_amplification,
    equivalent_noise,
    gaussian_noise,
)
from fedrec.privacy.adjacency import adjacency
from fedrec.privacy.registry import MECHANISMS

NoisePlace = Literal["server", "distributed", "local"]
_LOCAL = "Gaussian, on a grid: DP-SGD of each device over its own interactions, before anything leaves it"
_DRAWN = {
    "poisson": "every row was drawn independently each round",
    "cyclic-poisson": "every row of a group was drawn independently in each of its rounds",
    "fixed": "every round's cohort was drawn anew, each set of that size alike likely",
    "balls-in-bins": "every row was dealt to a group by itself, each group alike likely",
}
_SHARED = "discrete Gaussian, a share from each device, on the grid of the sum"


def privacy_statement(
    costs: Sequence[QueryCost],
    *,
    unit: Literal["user", "example"],
    delta: float,
    protocol: str = "none",
    noise_place: NoisePlace = "server",
    promised: float | None = None,
    headline: Collection[str] = (),
    mechanisms: Mapping[str, str] | None = None,
    delta_of_samples: float = 0.0,
    choosing: Collection[str] = (),
) -> dict[str, Any]:
    """The ``privacy`` keys of run.json, JSON-able, from all that was really charged (`Ledger.costs`).

    ``epsilon_released``: for whoever sees the released model and all opened sums, but not which devices were sampled.
    ``epsilon_server``: what the server itself could learn; it knows who took part when, so without amplification, and
    only where noise is in a sum before the server sees it (of distributed noise, what honest survivors add at least,
    and only with secure aggregation); null, with ``epsilon_server_reason``, where it is
    unbounded.  ``noise_multiplier``, ``sampling``: of a query in ``headline`` (training) where there was one, else of
    the query with the least noise (``noise_multiplier_of``); ``queries`` has all.  ``mechanisms``: of each query, its
    mechanism's name; independent Gaussian where absent.  Without costs nothing is claimed: epsilons are null.
    ``delta``: at which costs are composed; stated is that and ``delta_of_samples``, the chance that a sample was too
    small for its devices (`fedrec.server.sampled_cohorts`).
    ``choosing``: queries that choose settings; ``tuning`` says whether one was charged, and so is inside epsilon.
    ``promised``: with ``noise_place`` ``local``, the epsilon to which every device holds itself, whoever looks; nothing
    is charged then but in the devices' own ledgers.

    Raises:
        PrivacyError: delta is not in (0, 1).
    """
    check_delta(delta)
    if noise_place == "local" and promised is not None:
        return _local(promised, unit, delta, protocol)
    claim = _claim(costs, delta, noise_place, headline) if costs else _no_claim()
    # Noise that devices share is in the sum before the server sees it only where the server sees nothing but sums.
    bounded = bool(costs) and noise_place == "distributed" and protocol != "none"
    return {
        "unit": unit,
        "delta": min(1.0, delta + delta_of_samples),
        "delta_of_samples": delta_of_samples,
        "epsilon_released": claim["epsilon_released"],
        "epsilon_server": epsilon_without_amplification(costs, delta) if bounded else None,
        "epsilon_server_reason": None if bounded else _unbounded(protocol, noisy=bool(costs)),
        "epsilon_without_amplification": claim["epsilon_without_amplification"],
        "accountant": claim["accountant"],
        "mechanism": claim["mechanism"] and claim["mechanism"] + _own_words(costs, mechanisms or {}),
        "sampling": claim["sampling"],
        "noise_multiplier": claim["noise_multiplier"],
        "noise_multiplier_of": claim["noise_multiplier_of"],
        "noise_multiplier_equivalent": claim["noise_multiplier_equivalent"],
        "noise_place": noise_place if costs else None,
        "adjacency": adjacency(unit),
        "trust": _trust(costs, protocol, noise_place),
        "tuning": tuning({cost.query for cost in costs} & set(choosing)),
        "queries": [_query(cost) for cost in costs],
    }


def _local(promised: float, unit: str, delta: float, protocol: str) -> dict[str, Any]:
    """What holds where each device makes its own contribution private: one epsilon, towards everybody."""
    return {
        **_no_claim(),
        "unit": unit,
        "delta": delta,
        "delta_of_samples": 0.0,
        "epsilon_released": promised,
        "epsilon_server": promised,
        "epsilon_server_reason": None,
        "accountant": f"each device's own ledger: PLD (dp-accounting {version('dp-accounting')}), exact where a step "
        "takes all interactions",
        "mechanism": _LOCAL,
        "sampling": "all of a device's own interactions, or (privacy.local.batch) a Poisson sample that it alone knows",
        "noise_place": "local",
        "adjacency": adjacency(
            "example", stays="the number of a device's interactions, rounded down to a power of two"
        ),
        "trust": [
            "no server and no other device, for what is promised to a device's user",
            "each device's own software, to bound, sample and noise as agreed and to keep its ledger",
            *([] if protocol == "none" else [f"nothing more: the {protocol} protocol hides contributions besides"]),
        ],
        "tuning": tuning(()),
        "queries": [],
    }


def tuning(charged: Collection[str]) -> dict[str, Any]:
    """Whether tuning is part of what is promised. ``charged``: the queries that chose settings, and were charged."""
    if not charged:
        said = (
            "settings were tuned outside of epsilon, if they were tuned on these people's data: no charged query chose "
            "any of them"
        )
    else:
        said = (
            f"tuning is inside epsilon: the devices chose among the candidates in the settings by a private sum "
            f"({', '.join(sorted(charged))}) that is charged like every other"
        )
    return {"inside_epsilon": bool(charged), "queries": sorted(charged), "said": said}


def _claim(
    costs: Sequence[QueryCost], delta: float, noise_place: NoisePlace, headline: Collection[str]
) -> dict[str, Any]:
    first = [cost for cost in costs if cost.query in headline]
    shown = min(first or costs, key=lambda cost: cost.noise_multiplier)
    exact = all(cost.exact for cost in costs)
    accountant = "exact Gaussian composition" if exact else f"PLD (dp-accounting {version('dp-accounting')})"
    return {
        "epsilon_released": epsilon(costs, delta),
        "epsilon_without_amplification": epsilon_without_amplification(costs, delta),
        "accountant": accountant,
        "mechanism": _SHARED if noise_place == "distributed" else "Gaussian, on the grid of the sum",
        "sampling": shown.sampling,
        "noise_multiplier": shown.noise_multiplier,
        "noise_multiplier_of": shown.query,
        "noise_multiplier_equivalent": _equivalent(costs, delta),
    }


def _equivalent(costs: Sequence[QueryCost], delta: float) -> float:
    """The multiplier of one Gaussian sum with the same epsilon; of Gaussian costs, the same whatever delta is."""
    if all(cost.mechanism is None for cost in costs):
        return equivalent_noise(costs)
    return gaussian_noise(epsilon_without_amplification(costs, delta), delta)


def _own_words(costs: Sequence[QueryCost], mechanisms: Mapping[str, str]) -> str:
    """What the mechanisms of queries are that do not have the independent Gaussian."""
    words = ""
    for query in sorted({cost.query for cost in costs} & set(mechanisms)):
        kind = MECHANISMS[mechanisms[query]]
        if kind.correlated:
            words += f", {query}'s noise correlated over rounds ({mechanisms[query]})"
        if not kind.gaussian:
            words += f", {query}'s noise by {mechanisms[query]}, which declares what it costs"
    return words


def _no_claim() -> dict[str, Any]:
    return {
        "epsilon_released": None,
        "epsilon_without_amplification": None,
        "accountant": None,
        "mechanism": None,
        "sampling": None,
        "noise_multiplier": None,
        "noise_multiplier_of": None,
        "noise_multiplier_equivalent": None,
    }


def _query(cost: QueryCost) -> dict[str, Any]:
    return {
        "query": cost.query,
        "rounds": cost.rounds,
        "noise_multiplier": cost.noise_multiplier,
        "sampling": cost.sampling,
        "probability": cost.probability,
        "minimum_separation": cost.minimum_separation,
        "participations": cost.participations,
        "amplification_claimed": cost.amplified,
        **({} if cost.mechanism is None else {"mechanism": cost.mechanism}),
        **({"secret": True} if cost.secret else {}),
    }


def _unbounded(protocol: str, *, noisy: bool) -> str:
    if not noisy:
        return "unbounded: the run adds no noise"
    if protocol == "none":
        return "unbounded: the server sees every contribution"
    return "unbounded: the server sees every sum before it adds the noise"


def _trust(costs: Sequence[QueryCost], protocol: str, noise_place: NoisePlace) -> list[str]:
    if protocol == "none":
        trust = ["the server, which sees every device's contribution, to use only their sum"]
    else:
        trust = [f"the {protocol} protocol's honest devices and roster, that the server sees sums only"]
    if not costs:
        return [*trust, "everybody who sees the released model: it carries no noise"]
    match noise_place:
        case "distributed":
            trust.append("the devices, but for the share that may drop out or collude, to add their part of the noise")
        case "server":
            trust.append("the server, to add the noise before it uses or shows a sum, and to forget the sum")
        case "local":
            trust.append("the devices, that those who answer add their part of the noise")
        case _:
            assert_never(noise_place)
    if any(cost.amplified for cost in costs):
        drawn = {_DRAWN[cost.sampling] for cost in costs if cost.amplified}
        trust.append(f"that {', and '.join(sorted(drawn))}, and that who was drawn stays secret")
    trust.append("each device's software, to bound the contribution of a row")
    return trust
