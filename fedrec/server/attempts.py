"""How often the server has asked for the sum that it is at, kept over restarts: devices answer no attempt twice.

A run's name on devices is the manifest's digest, whatever Flower calls the run, so a server that is started again goes
on where the devices' memory is.  The number is on the disk before it is used.
"""

from __future__ import annotations

import json
from typing import Final, Protocol

from fedrec.queries.request import Request

OPENED_AND_LOST: Final = "opened-and-lost"
"""Why a sum is over nobody: devices have helped to open it, which none does twice, and it was lost or spoiled."""


class AttemptStore(Protocol):
    """What keeps them when a server is started again, such as `fedrec.server.state.ServerState`."""

    def save_attempts(self, data: bytes) -> None:
        """Keep these bytes in place of the last ones, durably."""

    def load_attempts(self) -> bytes | None:
        """The bytes that were kept last, or None."""


class AttemptCounter:
    """Numbers attempts at a sum from 0, over restarts; one sum at a time."""

    def __init__(self) -> None:
        self._sum = -1
        self._next = 0
        self._opening = False
        self._store: AttemptStore | None = None

    def keep_in(self, store: AttemptStore) -> None:
        """Go on with what a store knows, and keep what is counted in it from now on."""
        self._store = store
        kept = store.load_attempts()
        if kept is not None:
            read = json.loads(kept)
            self._sum, self._next, self._opening = read["sum"], read["next"], read["opening"]

    def begin(self, request: Request) -> int:
        """The number of the attempt that begins now."""
        if request.number != self._sum:
            self._sum, self._next, self._opening = request.number, 0, False
        self._next += 1
        self._save()
        return self._next - 1

    def opening(self) -> None:
        """Devices are about to be asked to open the sum: who does so once refuses from then on."""
        self._opening = True
        self._save()

    def may_be_open(self, request: Request) -> bool:
        """Whether an earlier attempt at this sum came as far as `opening`."""
        return request.number == self._sum and self._opening

    def _save(self) -> None:
        if self._store is not None:
            kept = {"sum": self._sum, "next": self._next, "opening": self._opening}
            self._store.save_attempts(json.dumps(kept).encode())
