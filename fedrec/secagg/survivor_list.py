"""What a device holds a list of survivors to, before it signs it and before it helps to open its sum."""

from __future__ import annotations

from fedrec.secagg.context import survivors_digest
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Confirm
from fedrec.secagg.neighbourhood import Neighbourhood, check_list, check_signatures
from fedrec.secagg.roster import Roster
from fedrec.secagg.server_messages import Certificate
from fedrec.secagg.signature_memory import SignatureMemory
from fedrec.secagg.thresholds import Thresholds


def check_survivors(
    survivors: frozenset[int], view: frozenset[int], near: Neighbourhood, thresholds: Thresholds
) -> None:
    """That a list holds this device, nobody who is not in its view, enough devices, and no gap on the ring.

    Raises:
        RefusedError: NOT_MEANT, MALFORMED, FEW_SURVIVORS or GAP.
    """
    check_list(survivors, view, near.place, "the survivors")
    thresholds.check_survivors(len(survivors), near.size)
    near.assignment.check_halves(survivors)


def check_quorum(
    shown: Certificate, near: Neighbourhood, roster: Roster, workers: int, memory: SignatureMemory | None = None
) -> None:
    """That a quorum of the committee has signed exactly this list under exactly this view.

    Each honest member signs one list, so no other has a quorum (see `committee`).

    Raises:
        RefusedError: NO_QUORUM or BAD_SIGNATURE.
    """
    assignment, digest = near.assignment, survivors_digest(shown.survivors, near.size)
    if len(shown.signers) != assignment.quorum or not shown.signers <= assignment.committee:
        what = f"{assignment.quorum} of the committee must have signed the list of survivors"
        raise RefusedError(Reason.NO_QUORUM, what, value=len(shown.signers & assignment.committee))
    messages = []
    for place, signature in zip(sorted(shown.signers), shown.signatures, strict=True):
        device = assignment.eligible[place]
        messages.append((Confirm(device, signature, shown.view, digest), roster.device(device)))
    check_signatures(messages, workers, memory)
