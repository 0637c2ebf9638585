"""A device's own ledger: every sum it added to, what that cost it, and when it has given enough.

It is kept in the device's store and written, in one transaction with what the device remembers of the sum, before the
contribution leaves.  Rows are chained by hashes.  Costs are towards whoever sees the released model, with the noise of
the settings that the device accepted; the device cannot see whether a server that was to add noise did.

Two budgets hold, whatever a server says:

- Of the settings it accepted (an agreement), a device answers every request once, and `REPEATS` more in all, as a
  server that was cut off may have to ask again.  The name of the run is not looked at: a server that begins a run anew
  under another name finds what was spent.  Who wants another run over the same people gives it other settings (another
  ``run.name`` will do), which devices have to accept.
- Over all runs, where the device has a setting ``device_budget``: an epsilon that all its rows together never exceed.

With Poisson sampling a device pays for all rounds when it is drawn for the first time: that it was not drawn is part of
the claim.  It also counts how often it is drawn, and refuses what honest sampling would not do once in 10^9 runs.

Where a device adds all noise itself (`fedrec.privacy.local`) the ledger is its accountant: `charge_own` writes each
turn with the noise and the sampling of its steps, and composes them over rounds, runs and restarts.  A repeat draws new
noise and costs as much as any turn; when the promise of the settings is spent, the device refuses.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Protocol

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost, epsilon
from fedrec.privacy.participation import draws_implausible

BUDGET: Final = "device_budget"
REPEATS: Final = 32
_ROUNDING: Final = 1e-9  # what composing the same spends in another order changes
_HEAD, _FIRST = "ledger head", "0" * 64


class SettingsStore(Protocol):
    """Where rows are kept: texts of JSON by name, in transactions of the caller."""

    def get_setting(self, name: str) -> str | None:
        """The text, or None."""

    def set_setting(self, name: str, value: str) -> None:
        """Keep a text."""


@dataclass(frozen=True)
class Agreement:
    """What a device agreed to. ``key``: names the settings and the catalogue.  ``plan``: empty without noise."""

    key: str
    plan: Sequence[QueryCost]
    delta: float


@dataclass(frozen=True)
class Row:
    """One contribution. ``costs``: of this round, None without noise.  ``rounds``: how many the agreement
    plans, 0 where there is no noise to plan.  ``own``: the device added all noise itself, so that ``costs`` holds
    towards everybody; its rounds are then the steps of one turn."""

    agreement: str
    run: str
    query: str
    round: int
    cost: QueryCost | None
    rounds: int
    delta: float
    time: int
    own: bool = False


class DeviceLedger:
    """The ledger in a device's store. Every call reads it anew."""

    def __init__(self, settings: SettingsStore) -> None:
        self._settings = settings

    def rows(self) -> list[Row]:
        """All rows, oldest first.

        Raises:
            PrivacyError: a row was changed, or rows are missing; names the row.
        """
        count, head = self._head()
        found, previous = [], _FIRST
        for number in range(count):
            kept = json.loads(self._settings.get_setting(_name(number)) or "null")
            if not isinstance(kept, dict) or kept.get("hash") != _link(previous, kept.get("body")):
                raise PrivacyError(f"the device's ledger: row {number} is missing or was changed", action=_RESTORE)
            previous = kept["hash"]
            found.append(_row(kept["body"]))
        if previous != head or self._settings.get_setting(_name(count)) is not None:
            raise PrivacyError("the device's ledger: its end is missing or was changed", action=_RESTORE)
        return found

    def charge(self, agreement: Agreement, *, run: str, query: str, round: int) -> Row:
        """Write the row of one contribution, inside a transaction of the caller; it may leave when that is over.

        Raises:
            BudgetExceededError: one of the two budgets would be exceeded, or the device is drawn too often or too soon.
            PrivacyError: the ledger is damaged, or a budget is set and the settings add no noise.
        """
        rows = self.rows()
        planned = next((cost for cost in agreement.plan if cost.query == query), None)
        one = None if planned is None else replace(planned, rounds=1)
        rounds = 0 if planned is None else planned.rounds
        row = Row(agreement.key, run, query, round, one, rounds, agreement.delta, int(time.time()))
        _check_agreement([known for known in rows if known.agreement == agreement.key], row)
        self._check_lifetime(rows, row)
        self._append(len(rows), row)
        return row

    def charge_local(
        self, agreement: Agreement, cost: QueryCost, budget: float, *, run: str, query: str, round: int
    ) -> Row:
        """Write the row of a turn whose noise this device adds itself, inside a transaction of the caller.

        Args:
            agreement: what was agreed to; all turns of it, in whatever run, together cost ``budget`` at most.
            spend: the cost of this turn; its rounds are the turn's steps.
            budget: epsilon at the agreement's delta.
            run, query, round: what is answered.

        Raises:
            BudgetExceededError: the turn would cost more than is left, of this budget or of the device's own.
            PrivacyError: the ledger is damaged.
        """
        rows = self.rows()
        row = Row(agreement.key, run, query, round, cost, 0, agreement.delta, int(time.time()), own=True)
        total = _composed([*(known for known in rows if known.agreement == agreement.key), row])
        if total is None or total > budget * (1 + _ROUNDING):
            value = "unbounded" if total is None else f"epsilon {total:.4g} of {budget:g}"
            raise BudgetExceededError("the promise of these settings is spent", value=value, action=_ENOUGH)
        self._check_lifetime(rows, row)
        self._append(len(rows), row)
        return row

    def last_local(self, agreement: str) -> QueryCost | None:
        """The spend of the last turn of these settings with noise of the device's own; None before the first."""
        found = [row.cost for row in self.rows() if row.agreement == agreement and row.own]
        return found[-1] if found else None

    def spent(self) -> float | None:
        """The epsilon of all rows together at their smallest delta; None where a row has no noise."""
        return _composed(self.rows())

    def _check_lifetime(self, rows: Sequence[Row], row: Row) -> None:
        budget = self._budget()
        if budget is None:
            return
        if row.cost is None:
            raise PrivacyError("this device has a budget, and the settings add no noise", value=row.query)
        after = [*rows, row]
        if rows and _spends(after) == _spends(rows):
            return  # paid before, as a sampled round is
        total = _composed(after)
        if total is None or total > budget:
            value = "unbounded" if total is None else f"epsilon {total:.4g} of {budget:g}"
            raise BudgetExceededError("this device's own budget would be exceeded", value=value, action=_ENOUGH)

    def _budget(self) -> float | None:
        value = json.loads(self._settings.get_setting(BUDGET) or "null")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise PrivacyError(f"{BUDGET} must be an epsilon above 0, or null", value=value)
        return float(value)

    def _head(self) -> tuple[int, str]:
        kept = json.loads(self._settings.get_setting(_HEAD) or "null")
        if kept is None:
            return 0, _FIRST
        return int(kept["rows"]), str(kept["hash"])

    def _append(self, number: int, row: Row) -> None:
        body = json.dumps(asdict(row), sort_keys=True, separators=(",", ":"))
        link = _link(self._head()[1], body)
        self._settings.set_setting(_name(number), json.dumps({"body": body, "hash": link}))
        self._settings.set_setting(_HEAD, json.dumps({"rows": number + 1, "hash": link}))


def _check_agreement(rows: Sequence[Row], row: Row) -> None:
    """Hold a new row to what these settings let a server ask."""
    repeats = len(rows) - len({(known.query, known.round) for known in rows})
    again = any((known.query, known.round) == (row.query, row.round) for known in rows)
    if again and repeats >= REPEATS:
        raise BudgetExceededError("requests of these settings were repeated too often", value=repeats, action=_ENOUGH)
    if row.cost is None:
        return
    drawn = {known.round for known in rows if known.query == row.query} - {row.round}
    if len(drawn) + 1 > row.rounds:
        raise BudgetExceededError(f"{row.query} was answered as often as agreed", value=len(drawn), action=_ENOUGH)
    if row.cost.amplified and draws_implausible(len(drawn) + 1, row.rounds, row.cost.probability):
        value = f"{len(drawn) + 1} of {row.rounds} rounds at {row.cost.probability:.3g}"
        raise BudgetExceededError("this device is drawn more often than agreed", value=value)
    if any(abs(row.round - known) < row.cost.minimum_separation for known in drawn):
        raise BudgetExceededError("this device is asked again sooner than agreed", value=(sorted(drawn), row.round))


def _composed(rows: Sequence[Row]) -> float | None:
    if any(row.cost is None for row in rows):
        return None
    return epsilon(_spends(rows), min(row.delta for row in rows)) if rows else 0.0


def _spends(rows: Iterable[Row]) -> list[QueryCost]:
    """What rows cost this device: its own rounds as they were, and sampled ones as planned, each repeat once more."""
    counted: Counter[tuple[str, QueryCost, int]] = Counter()
    seen: Counter[tuple[str, str, int]] = Counter()
    costs: Counter[QueryCost] = Counter()
    for row in rows:
        if row.cost is None:
            continue
        if row.own:
            costs[replace(row.cost, rounds=1)] += row.cost.rounds
            continue
        place = (row.agreement, row.query, row.round)
        if row.cost.amplified:
            counted[row.agreement, row.cost, row.rounds] += int(seen[place] > 0)
        else:
            costs[QueryCost(row.cost.query, row.cost.noise_multiplier)] += 1
        seen[place] += 1
    for (_, cost, rounds), repeats in counted.items():
        costs[cost] += rounds + repeats
    return [replace(cost, rounds=count) for cost, count in costs.items()]


def _row(body: str) -> Row:
    fields: dict[str, Any] = json.loads(body)
    cost = fields.pop("cost")
    return Row(**fields, cost=None if cost is None else QueryCost(**cost))


def _name(number: int) -> str:
    return f"ledger {number:08d}"


def _link(previous: str, body: object) -> str:
    return hashlib.sha256(f"{previous}{body}".encode()).hexdigest()


_RESTORE = "Do not take part any more with this store: restore it from a backup"
_ENOUGH = "It takes part again in a run with other settings, or with a larger device_budget"
