"""The running totals of a device's ledger: of each agreement, and of all rows together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost
from fedrec.privacy.device_entry import DeviceLedgerEntry
from fedrec.privacy.spent_total import SpentTotal


@dataclass(frozen=True)
class AgreementTotal:
    """All that was given under one agreement.

    ``delta``: the smallest of its rows.  ``answered``: query -> round -> how often, where the noise is not the
    devices' own.  ``local``: the cost of a round with noise of the device alone, None before the first.
    """

    epsilon: float | None
    delta: float
    spent: SpentTotal = field(default_factory=SpentTotal)
    answered: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    local: QueryCost | None = None

    @classmethod
    def of(cls, entry: DeviceLedgerEntry) -> AgreementTotal:
        """Nothing yet, of the agreement of a row."""
        return cls(entry.epsilon, entry.delta)

    def answered_in(self, query: str) -> dict[int, int]:
        """Round -> how often it was answered, of one query."""
        return {int(round): times for round, times in self.answered.get(query, {}).items()}

    def plus(self, entry: DeviceLedgerEntry) -> AgreementTotal:
        """With one row more."""
        answered, local = self.answered, self.local
        if entry.noise in ("server", "none"):
            rounds = {**answered.get(entry.query, {})}
            rounds[str(entry.round)] = rounds.get(str(entry.round), 0) + 1
            answered = {**answered, entry.query: rounds}
        elif entry.noise == "device" and local is None and entry.cost is not None:
            local = replace(entry.cost, rounds=entry.releases)
        spent = self.spent.plus(entry.cost, entry.releases)
        return replace(self, delta=min(self.delta, entry.delta), spent=spent, answered=answered, local=local)

    def to_tree(self) -> dict[str, Any]:
        """As JSON; read back by `from_tree`."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "spent": self.spent.to_tree(),
            "answered": {query: dict(rounds) for query, rounds in self.answered.items()},
            "local": None if self.local is None else self.local.facts,
        }

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> AgreementTotal:
        """The inverse of `to_tree`."""
        local = None if tree["local"] is None else QueryCost(**tree["local"])
        return cls(tree["epsilon"], tree["delta"], SpentTotal.from_tree(tree["spent"]), tree["answered"], local)


@dataclass(frozen=True)
class LedgerHead:
    """The end of the chain: how many rows there are, the last one's hash, and what all of them add up to.

    ``last``: agreement -> number of its last row.  ``delta``: the smallest of all rows.
    """

    rows: int = 0
    hash: str = "0" * 64
    total: SpentTotal = field(default_factory=SpentTotal)
    delta: float = 1.0
    last: Mapping[str, int] = field(default_factory=dict)

    def plus(self, entry: DeviceLedgerEntry, hashed: str) -> LedgerHead:
        """With one row more, whose hash is ``hashed``."""
        return LedgerHead(
            self.rows + 1,
            hashed,
            self.total.plus(entry.cost, entry.releases),
            min(self.delta, entry.delta),
            {**self.last, entry.agreement: self.rows},
        )

    def sums(self) -> dict[str, Any]:
        """All but the last row's hash, as JSON: what that row names the digest of."""
        total = self.total.to_tree()
        return {"rows": self.rows, "total": total, "delta": self.delta, "last": dict(self.last)}

    def to_tree(self) -> dict[str, Any]:
        """As JSON; read back by `from_tree`."""
        return {**self.sums(), "hash": self.hash}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> LedgerHead:
        """The inverse of `to_tree`. Raises PrivacyError for the head of another version."""
        if not {"rows", "hash", "total", "delta", "last"} <= {*tree}:
            action = "Read it with the version of fedrec that wrote it, or begin with a new store"
            raise PrivacyError("the device's ledger is of another version", action=action)
        return cls(tree["rows"], tree["hash"], SpentTotal.from_tree(tree["total"]), tree["delta"], tree["last"])
