"""Signatures that a process has checked already."""

from __future__ import annotations

from typing import Final

from fedrec.secagg.messages import Signed

_MOST: Final = 1 << 18


class SignatureMemory:
    """Signatures that held, so that each is checked once a process and not once by every device that is shown it.

    A signature is known by the SHA-256 of the key, the purpose, the message and itself; one that did not hold is not
    remembered.
    """

    def __init__(self) -> None:
        self._held: set[bytes] = set()

    def check(self, message: Signed, public: bytes) -> None:
        """As `Signed.check`. Raises RefusedError(BAD_SIGNATURE)."""
        name = message.name(public)
        if name in self._held:
            return
        message.check(public)
        if len(self._held) >= _MOST:
            self._held.clear()
        self._held.add(name)
