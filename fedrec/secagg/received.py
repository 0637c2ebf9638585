"""Which message a device may send in which exchange."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fedrec.secagg import codec
from fedrec.secagg.errors import Reason, RefusedError
from fedrec.secagg.messages import Advertise, Complaints, Confirm, Masked, Shares, Signed, Unmask
from fedrec.secagg.outcome import Phase
from fedrec.secagg.round_records import RoundRecords

_KINDS: Final[dict[Phase, type[Signed]]] = {
    Phase.ADVERTISE: Advertise,
    Phase.SHARE: Shares,
    Phase.CHECK: Complaints,
    Phase.MASK: Masked,
    Phase.CONFIRM: Confirm,
    Phase.UNMASK: Unmask,
}
_READERS: Final[dict[Phase, Callable[[bytes], Signed]]] = {
    Phase.ADVERTISE: Advertise.from_bytes,
    Phase.SHARE: Shares.from_bytes,
    Phase.MASK: Masked.from_bytes,
    Phase.CONFIRM: Confirm.from_bytes,
}


def read_message(data: bytes, phase: Phase, records: RoundRecords) -> Signed:
    """A device's message of the exchange that is open; its signature is not checked.

    Raises:
        RefusedError: OUT_OF_TURN for another exchange's, MALFORMED for anything else.
    """
    if phase is Phase.CLOSED or codec.kind_of(data) != _KINDS[phase].kind:
        known = codec.kind_of(data) in {kind.kind for kind in _KINDS.values()}
        raise RefusedError(Reason.OUT_OF_TURN if known else Reason.MALFORMED, "not a message of this exchange")
    if phase in (Phase.CHECK, Phase.UNMASK):
        kind = Complaints if phase is Phase.CHECK else Unmask
        return kind.from_bytes(data, records.parameters.degree)
    return _READERS[phase](data)
