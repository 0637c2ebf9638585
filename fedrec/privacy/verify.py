"""Recompute a run's promise from its ledger alone, and hold everything that was said about the run against it.

Each check names what it looked at and, where it failed, what does not fit.  A check that cannot be made because the
ledger itself cannot be read has failed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fedrec.errors import PrivacyError
from fedrec.privacy import run_plan
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.ledger import Budget, Ledger
from fedrec.privacy.ledger_entry import AHEAD, LedgerEntry
from fedrec.privacy.participation import check_participation, check_rounds, is_in_full

# Composing the same rows again gives the same figure but for the last digits of a transform.
_SAME: Final = 1e-6


@dataclass(frozen=True)
class ClaimCheck:
    """One thing that was looked at. ``problems``: what does not fit, in sentences; none = it holds."""

    name: str
    problems: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether it holds."""
        return not self.problems


@dataclass(frozen=True)
class StatedPrivacy:
    """What was said about a run, to be held against its ledger.

    ``budget``: of the settings, None for a run without noise.  ``plan``: the costs that settings and budget give.
    ``claims``: where -> a ``privacy`` table (``epsilon_released``, ``delta``, ``unit``, ``ledger``).  ``lines``: of
    events.jsonl.  ``whole``: whether the run says that it went to its end.  ``promise``: epsilon, delta and unit that
    the settings have each device keep where devices add all noise (`fedrec.privacy.local.promise_of`), else None.
    ``early``: whether training ended by what a query said; the claim is then of the plan (`run_plan.claimed`).
    ``cut_short``: the queries that end with training, where the settings let it end early.  ``delta_of_samples``: what
    is stated beside the ledger's delta.
    """

    budget: Budget | None
    plan: Sequence[QueryCost]
    claims: Mapping[str, Mapping[str, Any]]
    lines: Sequence[Mapping[str, Any]]
    whole: bool = True
    promise: Mapping[str, Any] | None = None
    early: bool = False
    cut_short: frozenset[str] = frozenset()
    delta_of_samples: float = 0.0


def verify_run(path: Path, said: StatedPrivacy) -> list[ClaimCheck]:
    """All checks of the ledger at ``path``, in the order in which they build on each other."""
    if not path.is_file() or not path.stat().st_size:
        return [ClaimCheck("ledger", (f"{path.name} is missing or empty",))]
    try:
        with Ledger.open(path) as ledger:
            ledger.check_file()
            return [ClaimCheck("ledger"), *_checks(ledger, ledger.entries(), said)]
    except PrivacyError as error:
        return [ClaimCheck("ledger", (str(error),))]


def _checks(ledger: Ledger, entries: Sequence[LedgerEntry], said: StatedPrivacy) -> Iterator[ClaimCheck]:
    named: dict[str, Callable[[], Iterable[str]]] = {
        "head": lambda: _head(ledger, said),
        "budget": lambda: _budget(ledger, entries, said),
        "epsilon": lambda: _epsilon(ledger, said),
        "rounds": lambda: check_rounds(entries),
        "participation": lambda: check_participation(entries),
        "noise": lambda: _noise(entries, said),
        "sums": lambda: _sums(entries, said),
    }
    for name, check in named.items():
        try:
            problems = tuple(check())
        except (PrivacyError, KeyError, TypeError, ValueError) as error:
            problems = (f"cannot be checked: {error}",)
        yield ClaimCheck(name, problems)


def _head(ledger: Ledger, said: StatedPrivacy) -> Iterator[str]:
    for where, claim in said.claims.items():
        kept = claim.get("ledger") or {}
        if kept.get("head") != ledger.head or kept.get("rows") != len(ledger):
            yield f"{where} is of a ledger of {kept.get('rows')} rows with another end than this one of {len(ledger)}"


def _budget(ledger: Ledger, entries: Sequence[LedgerEntry], said: StatedPrivacy) -> Iterator[str]:
    if ledger.budget != said.budget:
        yield f"the ledger was begun with {ledger.budget}, the settings say {said.budget}"
    spent = ledger.spent()
    if ledger.budget is not None and spent is not None and spent > ledger.budget.epsilon:
        yield f"epsilon {spent:.6g} is spent of {ledger.budget.epsilon:g}"
    if ledger.budget is not None and (bare := [entry.number for entry in entries if entry.cost is None]):
        yield f"row {bare[0]} is a release without noise"


def _epsilon(ledger: Ledger, said: StatedPrivacy) -> Iterator[str]:
    if said.promise is not None:
        yield from _promise(ledger.entries(), said.claims, said.promise)
        return
    costs = run_plan.claimed(said.plan, ledger.costs()) if said.early else ledger.costs()
    for where, claim in said.claims.items():
        claimed, delta, unit = (claim.get(name) for name in ("epsilon_released", "delta", "unit"))
        if ledger.budget is None or not costs:
            if claimed is not None:
                yield f"{where} claims epsilon {claimed}, and the ledger bears none"
            continue
        if (delta, unit) != (min(1.0, ledger.budget.delta + said.delta_of_samples), ledger.budget.unit):
            yield f"{where} speaks of delta {delta} and one {unit}, the ledger of {ledger.budget}"
            continue
        found = epsilon(costs, ledger.budget.delta)
        if not isinstance(claimed, (int, float)) or not math.isclose(claimed, found, rel_tol=_SAME):
            yield f"{where} claims epsilon {claimed}, the rows compose to {found:.6g}"


def _promise(
    entries: Sequence[LedgerEntry], claims: Mapping[str, Mapping[str, Any]], promise: Mapping[str, Any]
) -> Iterator[str]:
    """Of devices that add all noise: rows and claims say what the settings have devices keep, and nothing else."""
    for entry in entries:
        kept = {name: entry.detail.get(name) for name in ("noise_place", *promise)}
        if entry.cost is not None or kept != {"noise_place": "local", **promise}:
            yield f"row {entry.number} does not say that devices keep {dict(promise)}"
    for where, claim in claims.items():
        for name in ("epsilon_released", "epsilon_server"):
            if claim.get(name) != promise["epsilon"]:
                yield f"{where} claims {name} {claim.get(name)}, devices keep {promise['epsilon']}"
        if (claim.get("delta"), claim.get("unit")) != (promise["delta"], promise["unit"]):
            yield f"{where} speaks of delta {claim.get('delta')} and one {claim.get('unit')}, not of {dict(promise)}"


def _noise(entries: Sequence[LedgerEntry], said: StatedPrivacy) -> Iterator[str]:
    planned = {cost.query: cost for cost in said.plan}
    charged: Counter[str] = Counter()
    for entry in entries:
        if entry.cost is None:
            continue
        plan = planned.get(entry.cost.query)
        charged[entry.query] += not entry.detail.get("repeat", 0)
        if entry.query != entry.cost.query or plan is None:
            yield f"row {entry.number} is for {entry.query}, which the settings do not plan"
        elif not _alike(entry.cost, run_plan.in_full(plan) if is_in_full(entry) else plan):
            yield (
                f"{entry.query}, round {entry.round}: noise multiplier {entry.cost.noise_multiplier:.6g} "
                f"({entry.cost.sampling}), the settings give {plan.noise_multiplier:.6g} ({plan.sampling})"
            )
    cut_short = said.cut_short if said.early else frozenset()
    if said.early and not cut_short:
        yield "training is said to have ended early, and the settings plan nothing that could end it"
    for query, plan in planned.items():
        whole = said.whole and query not in cut_short
        if charged[query] > plan.rounds or (whole and charged[query] != plan.rounds):
            yield f"{query}: {charged[query]} rounds are charged, the settings plan {plan.rounds}"


def _is_awaited(entry: LedgerEntry) -> bool:
    """Whether a row was charged ahead, and its sum was never opened: lost with an attempt, or with the budget."""
    return bool(entry.detail.get(AHEAD)) and "released" not in entry.detail


def _alike(cost: QueryCost, plan: QueryCost) -> bool:
    return (
        math.isclose(cost.noise_multiplier, plan.noise_multiplier, rel_tol=_SAME)
        and (cost.sampling, cost.minimum_separation) == (plan.sampling, plan.minimum_separation)
        and (cost.mechanism, cost.secret) == (plan.mechanism, plan.secret)
        and math.isclose(cost.probability, plan.probability, rel_tol=_SAME)
    )


def _sums(entries: Sequence[LedgerEntry], said: StatedPrivacy) -> Iterator[str]:
    rows = {(entry.query, entry.round): entry for entry in entries}
    lines = Counter((line.get("query"), line.get("round")) for line in said.lines)
    for (query, number), count in lines.items():
        if (query, number) not in rows:
            yield f"{query}, round {number}: the sum was opened, and the ledger has no row for it"
        elif count > 1:
            yield f"{query}, round {number}: the sum has {count} lines"
    for place, entry in rows.items():
        if place not in lines and not _is_awaited(entry):
            yield f"{entry.query}, round {entry.round}: row {entry.number} has no opened sum beside it"
    for line in said.lines:
        row = rows.get((line.get("query", ""), line.get("round", -1)))
        if row is not None and (line.get("asked"), line.get("devices")) != (
            row.detail.get("asked"),
            row.detail.get("survivors"),
        ):
            yield f"{row.query}, round {row.round}: its line and row {row.number} differ in who took part"
