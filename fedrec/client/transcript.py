"""What a device kept of all that it ever gave, held together: its ledger, the sums it masked for, its manifests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedrec.client.pending_round import load_replay_guard
from fedrec.data.store import EventStore
from fedrec.privacy.device_entry import Agreement
from fedrec.privacy.device_ledger import DeviceLedger
from fedrec.privacy.device_verify import AgreementVerdict, verify_rows
from fedrec.queries.run_manifest import RunManifest


@dataclass(frozen=True)
class Transcript:
    """``agreements``: each with what was given under it.  ``problems``: all that does not fit; none = it holds."""

    agreements: tuple[AgreementVerdict, ...]
    problems: tuple[str, ...]


def verify_transcript(store: EventStore, manifests: Sequence[RunManifest] = ()) -> Transcript:
    """Check that everything this device ever sent was within what it had agreed to.

    Whole chain of its ledger; every agreement's cost, composed again from the noise in its rows, within its epsilon;
    rounds that only go up; and a row for every sum that the device sent a masked vector to.

    Args:
        store: the device's.
        manifests: of runs that it took part in; rows of these are held to the budget that was signed.

    Raises:
        PrivacyError: the ledger's chain is broken; names the row.
        ProtocolError: what is remembered of masked sums is damaged.
    """
    rows = DeviceLedger(store).rows()
    signed = {
        one.digest: Agreement(one.digest, one.budget.epsilon, one.budget.delta)
        for one in manifests
        if one.budget.delta is not None
    }
    agreements = tuple(verify_rows(rows, signed))
    problems = [problem for one in agreements for problem in one.problems]
    charged = {row.run for row in rows}
    for run in load_replay_guard(store).runs:
        if run not in charged:
            problems.append(f"a masked vector was sent in run {run[:16]}, and the ledger has no row of that run")
    return Transcript(agreements, tuple(problems))
