"""One row of a run's ledger: a release, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fedrec.errors import PrivacyError
from fedrec.privacy.accountant import QueryCost

AHEAD: Final = "ahead"
"""In the detail of a row whose sum is yet to be opened."""


@dataclass(frozen=True)
class LedgerEntry:
    """One release. ``costs`` is None for one without noise. ``detail``: JSON-able facts that go with it.

    ``detail`` of one that was charged ahead (`Ledger.charge` with ``ahead``) has ``"ahead": true``, and what `opened`
    said of it once its sum was opened.

    ``number`` (of the row) and ``time`` (seconds since 1970) are the ledger's.
    """

    query: str
    round: int
    cost: QueryCost | None
    detail: Mapping[str, Any] = field(default_factory=dict)
    number: int = -1
    time: int = 0


ODD_ROW: Final = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What reading such a row raises: the chain shows that a row was not changed, not that a ledger wrote it."""


def entry_of(number: int, body: Mapping[str, Any]) -> LedgerEntry:
    """What a row of the ledger says; the inverse of how `Ledger` writes it."""
    cost = body["cost"]
    charged = QueryCost(**cost) if cost["noise_multiplier"] is not None else None
    return LedgerEntry(body["query"], body["round"], charged, body["detail"], number, body["time"])


def odd_row(number: int, error: Exception) -> PrivacyError:
    """What to raise for a row that is whole and that no ledger writes."""
    what = f"row {number} of the ledger is none that a ledger writes ({type(error).__name__}: {error})"
    return PrivacyError(what, action="Take the ledger that the run wrote")
