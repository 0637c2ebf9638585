"""Why a message, a request or a whole round of secure aggregation was turned down: always one of a short list."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from fedrec.errors import ProtocolError


class Reason(StrEnum):
    """A name for everything that can go wrong, the same on devices and the server."""

    MALFORMED = "malformed"
    OUT_OF_TURN = "out-of-turn"
    DUPLICATE = "duplicate"
    STRANGER = "not-in-the-roster"
    BAD_SIGNATURE = "bad-signature"
    OTHER_CONTEXT = "other-context"
    NOT_MEANT = "not-meant-for-this-device"
    SMALL_COHORT = "cohort-below-the-floor"
    FEW_SURVIVORS = "survivors-below-the-floor"
    GAP = "survivors-leave-a-gap"
    WEAK_PARAMETERS = "parameters-below-the-floor"
    BAD_BOXES = "too-few-boxes-open"
    BAD_RECEIPT = "no-receipt-for-this-view"
    NO_QUORUM = "too-few-signatures"
    ANSWERED = "answered-before"
    TOO_MANY_ROUNDS = "too-many-rounds"
    SECRET_LOST = "too-few-shares"
    FALSE_SHARES = "shares-do-not-fit"


class RefusedError(ProtocolError):
    """One side turns a message down and stays as it was; ``reason`` says why, ``plain`` what, without the reason."""

    def __init__(self, reason: Reason, what: str, *, value: object | None = None, action: str = "") -> None:
        self.reason, self.plain = reason, what
        super().__init__(f"{what} [{reason.value}]", value=value, action=action)


class RoundAbortedError(ProtocolError):
    """The round gives no sum. ``reason`` says why, ``devices`` (public ids) whose part in it is to blame or missing.

    Nothing of the round is of any use afterwards: ask again as another attempt, or go on with the next round.
    """

    def __init__(
        self, reason: Reason, what: str, *, devices: Iterable[bytes] = (), value: object | None = None
    ) -> None:
        self.reason = reason
        self.devices = tuple(devices)
        action = "Ask again as the next attempt"
        if self.devices:
            named = ", ".join(device.hex()[:16] for device in self.devices[:4])
            action += f"; it concerns {len(self.devices)} device(s): {named}"
        super().__init__(f"the round failed: {what} [{reason.value}]", value=value, action=action)


def check_context(found: bytes, wanted: bytes, what: str) -> None:
    """Raise RefusedError(OTHER_CONTEXT) where something is not of the context that is wanted."""
    if found != wanted:
        raise RefusedError(Reason.OTHER_CONTEXT, what)
