"""What a process that stays may keep in memory of the sums its devices are in the middle of, to work nothing out twice.

All of it follows from bytes that are compared whenever it is used: forgetting it costs time, and changes nothing.  A
device of a person does without; simulated devices, many of which share a process, do not (`fedrec.client.shared_work`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fedrec.secagg.agreement import PrivateKey
from fedrec.secagg.device_state import DeviceState, pack_state, unpack_state
from fedrec.secagg.messages import Advertise
from fedrec.secagg.neighbourhood import Neighbourhood
from fedrec.secagg.signature_memory import SignatureMemory


@dataclass(frozen=True, repr=False)
class WorkedOut:
    """A device's key pairs of a sum (for masks, for boxes), what it advertised, its neighbours, and the keys it has
    with them by slot."""

    pairs: tuple[tuple[PrivateKey, bytes], tuple[PrivateKey, bytes]]
    advert: Advertise
    near: Neighbourhood
    box_keys: dict[int, bytes]


@dataclass(repr=False)
class RoundMemory:
    """Of one device: what it worked out last, and its state as it was written last. ``signatures``: of its process,
    where that keeps any."""

    signatures: SignatureMemory | None = None
    _written: tuple[bytes, DeviceState] | None = None
    _of: tuple[Any, ...] = ()
    _found: WorkedOut | None = None

    def recall(self, of: tuple[Any, ...], work_out: Callable[[], WorkedOut]) -> WorkedOut:
        """What follows from these inputs: as it was worked out of exactly the same last time, or worked out now."""
        if self._found is None or of != self._of:
            self._found = work_out()
            self._of = of
        return self._found

    def pack(self, state: DeviceState) -> bytes:
        """See `pack_state`."""
        self._written = pack_state(state), state
        return self._written[0]

    def unpack(self, data: bytes) -> DeviceState:
        """See `unpack_state`. Raises RefusedError(MALFORMED)."""
        if self._written is None or self._written[0] != data:
            return unpack_state(data)
        return self._written[1]

    def forget(self) -> None:
        """The sum is over: its secrets go."""
        self._of, self._found, self._written = (), None, None
