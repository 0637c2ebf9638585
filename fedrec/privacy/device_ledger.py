"""A device's own ledger: every sum it added to, what that cost it, and when it has given enough.

It is kept in the device's store and written, in one transaction with what the device remembers of the sum, before a
history is read and before the contribution leaves.  What a row costs follows from what the device does itself:

- Where devices share the noise (`fedrec.privacy.distributed`), from the noise of the request, of which the device makes
  its own share: one Gaussian release.  Nothing else counts: not the plan of the settings, not how many devices there
  are said to be, not the name of the run, nor whether the round was asked before.  No amplification is claimed, since
  a server knows who takes part.
- Where the device adds all noise itself (`fedrec.privacy.local`), from that noise and the sampling of its steps.
- Where the server adds it, the device cannot see it.  The row then has the noise that the settings plan, and says that
  it is the server's word (``noise`` = ``server``).

Three limits hold, whatever a server says:

- Under one agreement (the settings that a device accepted), what is charged by its own noise costs at most the epsilon
  agreed, at the delta agreed: over queries, rounds, repeats, runs and restarts.  The request that would bring it beyond
  is refused.  This is a privacy filter, so it holds for a server that chooses each request by all it saw before
  (`fedrec.privacy.spent_total`).
- Where the noise is the server's, each round of each query is answered as often as the settings allow attempts, in the
  rounds that they plan, and not sooner after the last than they say.  Where sampling amplifies, a device pays for all
  rounds when it is drawn for the first time, since that it was not drawn is part of the claim; it refuses what honest
  sampling would not do once in 10^9 runs.
- Over all agreements, where the device has a setting ``device_budget``: an epsilon that all its rows never exceed.

Rows are chained by hashes, and each names the digests of the running totals that it leads to.  So a charge reads the
last rows only; `rows` checks everything.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final, Protocol

from fedrec.errors import BudgetExceededError, PrivacyError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_entry import Agreement, DeviceLedgerEntry, canonical, digest, link
from fedrec.privacy.device_totals import AgreementTotal, LedgerHead
from fedrec.privacy.participation import draws_implausible

BUDGET: Final = "device_budget"
_HEAD, _FIRST = "ledger head", "0" * 64


class SettingsStore(Protocol):
    """Where rows are kept: texts of JSON by name, in transactions of the caller."""

    def get_setting(self, name: str) -> str | None:
        """The text, or None."""

    def set_setting(self, name: str, value: str) -> None:
        """Keep a text."""


class DeviceLedger:
    """The ledger in a device's store. Every call reads what it needs anew."""

    def __init__(self, settings: SettingsStore) -> None:
        self._settings = settings

    def rows(self) -> list[DeviceLedgerEntry]:
        """All rows, oldest first, the whole chain and every running total checked.

        Raises:
            PrivacyError: a row or a total was changed, or rows are missing; names the row.
        """
        head, previous = self._head(), _FIRST
        found: list[DeviceLedgerEntry] = []
        reckoned, totals = LedgerHead(), dict[str, AgreementTotal]()
        for number in range(head.rows):
            body, kept = self._row(number)
            if kept != link(previous, body):
                raise _damaged(number)
            tree = json.loads(body)
            entry = DeviceLedgerEntry.from_tree(tree["row"])
            totals[entry.agreement] = totals.get(entry.agreement, AgreementTotal.of(entry)).plus(entry)
            reckoned, previous = reckoned.plus(entry, kept), kept
            if tree["totals"] != _digests(totals[entry.agreement], reckoned):
                raise _damaged(number)
            found.append(entry)
        if reckoned != head or self._settings.get_setting(_name(head.rows)) is not None:
            raise PrivacyError("the device's ledger: its end is missing or was changed", action=_RESTORE)
        for key, total in totals.items():
            if self._settings.get_setting(_total(key)) != canonical(total.to_tree()):
                raise PrivacyError("the device's ledger: a running total was changed", value=key, action=_RESTORE)
        return found

    def charge_shared(
        self, agreement: Agreement, cost: QueryCost, *, run: str, query: str, round: int
    ) -> DeviceLedgerEntry:
        """Write the row of an answer to a sum whose noise the devices share, inside a transaction of the caller.

        ``cost``: of the noise of the request, as this device makes its own share of it.

        Raises:
            BudgetExceededError: it would cost more than is left, of the agreement or of the device's own budget.
            PrivacyError: the ledger is damaged, or the settings promise nothing.
        """
        entry = DeviceLedgerEntry.under(agreement, run, query, round, "devices", cost)
        return self._charge_own(agreement, entry)

    def charge_local(
        self, agreement: Agreement, cost: QueryCost, *, run: str, query: str, round: int
    ) -> DeviceLedgerEntry:
        """Write the row of a round whose noise this device adds alone. Otherwise as `charge_shared`.

        ``cost``: of the round; its rounds are the local steps.  It must have been planned before the first round: see
        `last_local`.
        """
        one = replace(cost, rounds=1)
        entry = DeviceLedgerEntry.under(agreement, run, query, round, "device", one, releases=cost.rounds)
        return self._charge_own(agreement, entry)

    def charge_trusted(
        self, agreement: Agreement, plan: QueryCost | None, attempts: int, *, run: str, query: str, round: int
    ) -> DeviceLedgerEntry:
        """Write the row of an answer that is to be made private by the server, or by nobody.

        Args:
            agreement: what was agreed to.
            plan: what the settings plan for this query, all rounds of it; None without noise.
            attempts: how often a round may be answered, at least 1.
            run, query, round: what is answered.

        Raises:
            BudgetExceededError: it was asked too often or too soon, or the device's own budget would be exceeded.
            PrivacyError: the ledger is damaged, or the device has a budget and nobody adds noise.
        """
        total = self._agreement(agreement)
        before = total.answered_in(query)
        if before.get(round, 0) >= attempts:
            what = "a round of these settings was asked too often"
            raise BudgetExceededError(what, value=f"{query}/{round}: {before[round]} times", action=_ENOUGH)
        if plan is None:
            return self._append(DeviceLedgerEntry.under(agreement, run, query, round, "none", None), total)
        _check_turn(plan, {*before} - {round}, round)
        one, releases = QueryCost(query, plan.noise_multiplier, mechanism=plan.mechanism), 1
        if plan.amplified:
            one = replace(plan, rounds=1)
            # A round that is asked again is one more; of dealt devices a whole turn of all groups, its own among them.
            releases = plan.minimum_separation if round in before else 0 if before else plan.rounds
        entry = DeviceLedgerEntry.under(
            agreement, run, query, round, "server", one, releases=releases, planned=plan.rounds
        )
        return self._append(entry, total)

    def last_local(self, agreement: str) -> QueryCost | None:
        """The cost of the first round of an agreement with noise of the device alone, which all others have, too.

        None before the first.
        """
        kept = self._settings.get_setting(_total(agreement))
        return None if kept is None else AgreementTotal.from_tree(json.loads(kept)).local

    def answered_since(self, moment: int, most: int) -> int:
        """How many of the last answers were given at ``moment`` (seconds since 1970) or later, counted up to ``most``.

        Raises:
            PrivacyError: the ledger is damaged.
        """
        found = 0
        for number in reversed(range(self._head().rows)):
            late = json.loads(self._row(number)[0])["row"]["time"] >= moment
            if found == most or not late:
                break
            found += 1
        return found

    def spent(self) -> float | None:
        """The epsilon of all rows together at their smallest delta; None where a row has no noise."""
        head = self._head()
        return head.total.epsilon(head.delta) if head.rows else 0.0

    def _charge_own(self, agreement: Agreement, entry: DeviceLedgerEntry) -> DeviceLedgerEntry:
        if agreement.epsilon is None:
            raise PrivacyError("settings without a budget bear no charge", value=entry.query)
        total = self._agreement(agreement)
        delta = min(total.delta, agreement.delta)
        if total.spent.plus(entry.cost, entry.releases).exceeds(agreement.epsilon, delta):
            spent = f"{_said(total.spent.epsilon(delta))} of {agreement.epsilon:g} are spent"
            raise BudgetExceededError(
                "what these settings promise would be exceeded",
                value=f"{entry.query}/{entry.round}; {spent}",
                action=_ENOUGH,
            )
        return self._append(entry, total)

    def _append(self, entry: DeviceLedgerEntry, total: AgreementTotal) -> DeviceLedgerEntry:
        head = self._head()
        total, after = total.plus(entry), head.plus(entry, "")
        self._check_lifetime(entry, after)
        body = canonical({"row": entry.to_tree(), "totals": _digests(total, after)})
        after = replace(after, hash=link(head.hash, body))
        self._settings.set_setting(_name(head.rows), json.dumps({"body": body, "hash": after.hash}))
        self._settings.set_setting(_total(entry.agreement), canonical(total.to_tree()))
        self._settings.set_setting(_HEAD, canonical(after.to_tree()))
        return entry

    def _check_lifetime(self, entry: DeviceLedgerEntry, after: LedgerHead) -> None:
        budget = self._budget()
        if budget is None:
            return
        if entry.cost is None:
            raise PrivacyError("this device has a budget, and the settings add no noise", value=entry.query)
        if entry.releases and after.total.exceeds(budget, after.delta):
            value = f"epsilon {_said(after.total.epsilon(after.delta))} of {budget:g}"
            raise BudgetExceededError("this device's own budget would be exceeded", value=value, action=_ENOUGH)

    def _budget(self) -> float | None:
        value = json.loads(self._settings.get_setting(BUDGET) or "null")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise PrivacyError(f"{BUDGET} must be an epsilon above 0, or null", value=value)
        return float(value)

    def _head(self) -> LedgerHead:
        """The end of the chain, held to the last row."""
        kept = self._settings.get_setting(_HEAD)
        if kept is None:
            if self._settings.get_setting(_name(0)) is not None:
                raise _damaged(0)
            return LedgerHead()
        head = LedgerHead.from_tree(json.loads(kept))
        body, hashed = self._row(head.rows - 1)
        previous = self._row(head.rows - 2)[1] if head.rows > 1 else _FIRST
        whole = hashed == head.hash == link(previous, body)
        if not whole or json.loads(body)["totals"][1] != digest(head.sums()):
            raise _damaged(head.rows - 1)
        if self._settings.get_setting(_name(head.rows)) is not None:
            raise PrivacyError("the device's ledger: its end is missing or was changed", action=_RESTORE)
        return head

    def _agreement(self, agreement: Agreement) -> AgreementTotal:
        """What was given under an agreement, held to its last row."""
        kept, last = self._settings.get_setting(_total(agreement.key)), self._head().last.get(agreement.key)
        if kept is None and last is None:
            return AgreementTotal(agreement.epsilon, agreement.delta)
        if kept is None or last is None or json.loads(self._row(last)[0])["totals"][0] != digest(json.loads(kept)):
            raise _damaged(-1 if last is None else last)
        total = AgreementTotal.from_tree(json.loads(kept))
        if total.epsilon != agreement.epsilon:
            raise PrivacyError("one agreement has two budgets", value=(total.epsilon, agreement.epsilon))
        return total

    def _row(self, number: int) -> tuple[str, str]:
        """Text and hash of a row. Raises PrivacyError where there is none."""
        kept: Any = json.loads(self._settings.get_setting(_name(number)) or "null")
        if not isinstance(kept, dict) or not all(isinstance(kept.get(part), str) for part in ("body", "hash")):
            raise _damaged(number)
        return kept["body"], kept["hash"]


def _check_turn(plan: QueryCost, others: set[int], round: int) -> None:
    """Hold a new round to what the settings plan; ``others``: the rounds that were answered before."""
    drawn = len(others) + 1
    if drawn > plan.rounds:
        raise BudgetExceededError(f"{plan.query} was answered as often as agreed", value=len(others), action=_ENOUGH)
    independent = plan.amplified and plan.minimum_separation == 1  # dealt devices are held to how far apart they come
    if independent and draws_implausible(drawn, plan.rounds, plan.probability):
        value = f"{drawn} of {plan.rounds} rounds at {plan.probability:.3g}"
        raise BudgetExceededError("this device is drawn more often than agreed", value=value)
    if any(abs(round - known) < plan.minimum_separation for known in others):
        raise BudgetExceededError("this device is asked again sooner than agreed", value=(sorted(others), round))


def _digests(total: AgreementTotal, head: LedgerHead) -> list[str]:
    return [digest(total.to_tree()), digest(head.sums())]


def _said(epsilon: float | None) -> str:
    return "unbounded" if epsilon is None else f"{epsilon:.4g}"


def _name(number: int) -> str:
    return f"ledger {number:08d}"


def _total(key: str) -> str:
    return f"ledger total {key}"


def _damaged(number: int) -> PrivacyError:
    return PrivacyError(f"the device's ledger: row {number} is missing or was changed", action=_RESTORE)


_RESTORE = "Do not take part any more with this store: restore it from a backup"
_ENOUGH = "It takes part again in a run with other settings, or with a larger device_budget"
