"""The ledger: every release of a run, and what it cost, written durably before the release may leave.

A ledger is begun with a budget, which never changes, or without one: then it records releases without noise and claims
nothing.  `Ledger.charge` either writes the row and returns, or raises and has written nothing; whoever releases only
after it returned never leaves a release without its row, wherever the process is killed.  A row without its release can
be left behind; it counts as spent.

Where devices share the noise, a sum is private as it is opened, so its row is written before devices are asked for what
opens it, and a second row without a cost (`Ledger.opened`) says what came of it.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost, check_delta, epsilon
from fedrec.privacy.chain import Chain
from fedrec.privacy.ledger_entry import AHEAD, ODD_ROW, LedgerEntry, entry_of, odd_row

SCHEMA = 2
_OPENED: Final = "opened"
_AWAITED: Final = "the sum is yet to be opened"


@dataclass(frozen=True)
class Budget:
    """What may be spent in all: ``epsilon`` above 0, at ``delta`` in (0, 1), for one ``unit``.

    Raises:
        PrivacyError: a value is outside its range.
    """

    epsilon: float
    delta: float
    unit: Literal["user", "example"]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.epsilon) and self.epsilon > 0):
            raise PrivacyError("a budget's epsilon must be finite and above 0", value=self.epsilon)
        check_delta(self.delta)
        if self.unit not in ("user", "example"):
            raise PrivacyError("a budget's unit must be user or example", value=self.unit)


class Ledger:
    """An open ledger; use `Ledger.open`, and as a context manager. One instance belongs to one thread."""

    def __init__(self, chain: Chain, budget: Budget | None) -> None:
        self._chain = chain
        self._read = 0
        self._spent: Counter[QueryCost] = Counter()  # keyed by the cost with rounds=1
        self._authorised: Counter[QueryCost] = Counter()
        self._seen: dict[tuple[str, int], list[str | None]] = {}  # what each round's rows say was released
        self._budget = self._header()
        if budget is not None and budget != self._budget:
            action = "Give the same epsilon, delta and unit, or a new path for the ledger"
            raise PrivacyError("the ledger was begun with another budget", value=self._budget, action=action)
        self._catch_up()

    @classmethod
    def open(cls, path: Path, budget: Budget | None = None) -> Ledger:
        """Open a ledger, or begin one with this budget; checks the whole chain.

        ``budget`` None: whatever budget an existing ledger has stays in force; a new one gets none.

        Raises:
            PrivacyError: no ledger, a broken chain, another budget, or in use by another process.
        """
        header = {"schema": SCHEMA, "kind": "open", "budget": asdict(budget) if budget else None, "time": _now()}
        chain = Chain(path, lambda: header)
        try:
            return cls(chain, budget)
        except BaseException:
            chain.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._chain.close()

    @property
    def budget(self) -> Budget | None:
        """The budget it was begun with."""
        return self._budget

    @property
    def head(self) -> str:
        """The last row's hash; kept elsewhere, it shows whether rows were cut off (`verify`)."""
        return self._chain.head

    def authorise(self, plan: Iterable[QueryCost]) -> float:
        """Check once that everything spent and then this plan stay in the budget; the composed epsilon of both.

        Charges that the plan covers are afterwards only counted, which makes them cheap.  A new plan takes the place of
        what is left of the last one.  Nothing is written: after a restart, authorise what is left (`charged`).

        Raises:
            BudgetExceededError: together they would exceed the budget.
            PrivacyError: the ledger has no budget.
        """
        wanted = _counted(plan)
        self._catch_up()
        total = self._checked(self._spent + wanted, "the plan and what is already spent")
        self._authorised = wanted
        return total

    def charge(
        self, cost: QueryCost, *, round: int, detail: Mapping[str, Any] | None = None, ahead: bool = False
    ) -> LedgerEntry:
        """Write the row of one release, durably, if the budget bears it; release only after this returned.

        ``round``: the round, or the first of them, that the release belongs to.  ``ahead``: its sum is yet to be
        opened; `opened` is to say that it was.

        Raises:
            BudgetExceededError: the release would exceed the budget; nothing was written.
            PrivacyError: the ledger has no budget or cannot be written.
        """
        one = replace(cost, rounds=1)
        with self._chain.transaction():
            self._catch_up()
            planned = self._authorised[one] >= cost.rounds
            if not planned:
                together = self._spent + self._authorised + Counter({one: cost.rounds})
                self._checked(together, f"round {round} of {cost.query}")
            facts = {**(detail or {}), **({AHEAD: True} if ahead else {})}
            entry = self._append(LedgerEntry(cost.query, round, cost, facts))
        self._take_in(entry)
        if planned:
            self._authorised[one] -= cost.rounds
        return entry

    def opened(self, query: str, round: int, detail: Mapping[str, Any]) -> None:
        """Say of the last row of this round, which was charged ahead, what came of it; durably, before it is used.

        Raises:
            PrivacyError: there is no such row, or its sum was opened before.
        """
        with self._chain.transaction():
            self._catch_up()
            if not self.is_open(query, round):
                raise PrivacyError("the ledger has no row for this sum, or it was opened before", value=(query, round))
            body = {"kind": _OPENED, "query": query, "round": round, "detail": dict(detail), "time": _now()}
            self._chain.append(body)
        self._take_in_opened(body)

    def is_open(self, query: str, round: int) -> bool:
        """Whether the last row of this round was charged ahead, and its sum is yet to be opened."""
        self._catch_up()
        return (self._seen.get((query, round)) or [None])[-1] == _AWAITED

    def record(self, query: str, *, round: int, detail: Mapping[str, Any] | None = None) -> LedgerEntry:
        """Write the row of a release without noise, durably: it protects nobody, and says so from then on.

        Raises:
            PrivacyError: the ledger has a budget, which a release without noise would break.
        """
        if self._budget is not None:
            action = "Add noise and charge it, or use a ledger without a budget"
            raise PrivacyError("a release without noise breaks any budget", value=query, action=action)
        with self._chain.transaction():
            self._catch_up()
            entry = self._append(LedgerEntry(query, round, None, dict(detail or {})))
        self._take_in(entry)
        return entry

    def spent(self) -> float | None:
        """The composed epsilon of all rows at the budget's delta; None, a claim of nothing, without a budget."""
        if self._budget is None:
            return None
        self._catch_up()
        return epsilon(_spends(self._spent), self._budget.delta)

    def costs(self) -> list[QueryCost]:
        """All that was charged, alike ones added up: what `accountant.epsilon` and the statement take."""
        self._catch_up()
        return _spends(self._spent)

    def charged(self, query: str) -> int:
        """How many rounds of a query have been charged; where a run that was cut off goes on."""
        self._catch_up()
        return sum(count for cost, count in self._spent.items() if cost.query == query)

    @property
    def begun(self) -> bool:
        """Whether there is any release in it."""
        return len(self._chain) > 1

    def __len__(self) -> int:
        """How many rows are in it, but for the one that it was begun with."""
        return len(self._chain) - 1

    def has(self, query: str, round: int, released: str | None = None) -> bool:
        """Whether this round of this query is in the ledger.

        ``released``: digest of the noisy sum; a row that says it is of another one does not count.
        """
        self._catch_up()
        rows = self._seen.get((query, round), ())
        return any(released is None or one in (None, released) for one in rows)

    def count(self, query: str, round: int) -> int:
        """How many rows there are of this round of this query."""
        self._catch_up()
        return len(self._seen.get((query, round), ()))

    def entries(self) -> list[LedgerEntry]:
        """All releases, oldest first; of those charged ahead, with what came of them."""
        found: list[LedgerEntry] = []
        for number, body in enumerate(self._chain.bodies(1), start=1):
            if body["kind"] == _OPENED:
                at = max(at for at, one in enumerate(found) if (one.query, one.round) == (body["query"], body["round"]))
                found[at] = replace(found[at], detail={**found[at].detail, **body["detail"]})
            else:
                found.append(entry_of(number, body))
        return found

    def verify(self, head: str | None = None) -> None:
        """Recompute the chain; ``head``: a hash it must contain. Raises PrivacyError naming the broken row."""
        self._chain.verify(head)

    def check_file(self) -> None:
        """Check what holds the rows: tables, triggers, structure. Raises PrivacyError where it was changed."""
        self._chain.check_file()

    def _header(self) -> Budget | None:
        header = next(iter(self._chain.bodies()), None)
        if not isinstance(header, dict) or header.get("schema") != SCHEMA or header.get("kind") != "open":
            said = header.get("schema") if isinstance(header, dict) else header
            raise PrivacyError("the ledger is of another version", value=said)
        try:
            return None if header["budget"] is None else Budget(**header["budget"])
        except ODD_ROW as error:
            raise odd_row(0, error) from None

    def _checked(self, costs: Counter[QueryCost], what: str) -> float:
        if self._budget is None:
            action = "Open a new ledger with a budget"
            raise PrivacyError("a ledger without a budget bears no charge", action=action)
        total = epsilon(_spends(costs), self._budget.delta)
        if total > self._budget.epsilon:
            action = "Stop here, or plan again with a larger epsilon or fewer rounds, in a new ledger"
            value = f"epsilon {total:.4g} of {self._budget.epsilon:g}"
            raise BudgetExceededError(f"{what} would exceed the privacy budget", value=value, action=action)
        return total

    def _append(self, entry: LedgerEntry) -> LedgerEntry:
        # Written with every row, even where null: a reader must not have to guess what an absent key means.
        cost = entry.cost.facts if entry.cost else {"noise_multiplier": None}
        body = {"kind": "release", "query": entry.query, "round": entry.round, "detail": dict(entry.detail)}
        now = _now()
        self._chain.append({**body, "cost": cost, "time": now})
        return replace(entry, number=self._read, time=now)

    def _catch_up(self) -> None:
        """Take in rows that were there before us or that another process wrote since."""
        bodies = self._chain.bodies(self._read)
        for number, body in enumerate(bodies, start=self._read):
            try:
                self._take_in_row(number, body)
            except ODD_ROW as error:
                raise odd_row(number, error) from None
        if bodies and self._authorised:
            self._authorised = Counter()  # another process spent: what we authorised may no longer fit

    def _take_in_row(self, number: int, body: Mapping[str, Any]) -> None:
        if body["kind"] == "release":
            self._take_in(entry_of(number, body))
        elif body["kind"] == _OPENED:
            self._take_in_opened(body)
        else:
            self._read += 1

    def _take_in(self, entry: LedgerEntry) -> None:
        self._read += 1
        released = _AWAITED if entry.detail.get(AHEAD) else entry.detail.get("released")
        self._seen.setdefault((entry.query, entry.round), []).append(released)
        if entry.cost is not None:
            self._spent[replace(entry.cost, rounds=1)] += entry.cost.rounds

    def _take_in_opened(self, body: Mapping[str, Any]) -> None:
        self._read += 1
        self._seen[body["query"], body["round"]][-1] = body["detail"].get("released")


def _counted(costs: Iterable[QueryCost]) -> Counter[QueryCost]:
    counted: Counter[QueryCost] = Counter()
    for cost in costs:
        counted[replace(cost, rounds=1)] += cost.rounds
    return counted


def _spends(counted: Counter[QueryCost]) -> list[QueryCost]:
    return [replace(cost, rounds=count) for cost, count in counted.items() if count > 0]


def _now() -> int:
    return int(time.time())
