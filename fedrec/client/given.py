"""What a device gave, for people: how much of its budgets is spent, in which runs and sums it took part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.client.budget import budget_of
from fedrec.client.pending_round import keep, load_replay_guard
from fedrec.client.who import chosen_user
from fedrec.data.store import EventStore
from fedrec.privacy.device_entry import DeviceLedgerEntry, NoiseBy
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.device_verify import AgreementVerdict, verify_rows


@dataclass(frozen=True)
class SumsGiven:
    """Answers of one query in one run. ``first``, ``last``: seconds since 1970."""

    run: str
    query: str
    rounds: tuple[int, ...]
    noise: tuple[NoiseBy, ...]
    first: int
    last: int


@dataclass(frozen=True)
class GivenSums:
    """All that a device gave.

    Args:
        epsilon: of all its answers together; None where one has no noise.
        limit: the device's own, over all runs; None = none.
        left: what of the limit is left; None without a limit, or where ``epsilon`` is None.
        agreements: what was given under each, and what of it was agreed.
        sums: by run and query, in the order of their first answer.
        unrecorded: runs that a masked vector was sent in and the ledger does not know, see `fedrec.client.transcript`.
    """

    epsilon: float | None
    limit: float | None
    left: float | None
    agreements: tuple[AgreementVerdict, ...]
    sums: tuple[SumsGiven, ...]
    unrecorded: tuple[str, ...]

    @property
    def answers(self) -> int:
        """How many sums there are that cannot be taken back."""
        return sum(len(one.rounds) for one in self.sums)


def given(store: EventStore) -> GivenSums:
    """Read it from the device's ledger, which is checked.

    Raises:
        PrivacyError: the ledger is damaged. StoreError: the store cannot be read.
    """
    ledger = DeviceLedger(store)
    rows = ledger.rows()
    spent, limit = ledger.spent(), budget_of(store)
    known = {row.run for row in rows}
    return GivenSums(
        epsilon=spent,
        limit=limit,
        left=None if limit is None or spent is None else max(0.0, limit - spent),
        agreements=tuple(verify_rows(rows)),
        sums=_sums(rows),
        unrecorded=tuple(run for run in load_replay_guard(store).runs if run not in known),
    )


def _sums(rows: Sequence[DeviceLedgerEntry]) -> tuple[SumsGiven, ...]:
    found: dict[tuple[str, str], list[DeviceLedgerEntry]] = {}
    for row in rows:
        found.setdefault((row.run, row.query), []).append(row)
    return tuple(
        SumsGiven(
            run,
            query,
            tuple(row.round for row in those),
            tuple(sorted({row.noise for row in those})),
            min(row.time for row in those),
            max(row.time for row in those),
        )
        for (run, query), those in found.items()
    )


def forget_user(store: EventStore, user: str) -> GivenSums:
    """Erase all that a device holds of a user; returns what was given before, which nobody can take back.

    A sum that the device is in the middle of goes on without it, unless its masked vector has left: then that vector is
    in ``sums``, too.  What the device gave stays in its ledger: a budget that is spent is not renewed by forgetting.

    Raises:
        StoreError: there is no such user, or the store cannot be written. PrivacyError: the ledger is damaged; nothing
            is erased.
    """
    before = given(store)
    with store.transaction(durable=True):
        store.forget(chosen_user(store, user))
        keep(store, None)
    store.empty_log()
    return before
