"""What travels in a secure sum: six exchanges, each one message down to a device and one up.

The request goes down with the first exchange and is bound, by its hash, into everything that follows; the later ones
carry the protocol's own bytes and nothing else.  What goes up is always those bytes in one array, beside two constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from fedrec.config import SecureAggregationSettings
from fedrec.errors import ProtocolError
from fedrec.queries.wire import FORMAT, Envelope, Part
from fedrec.secagg.context import Agreed
from fedrec.secagg.parameters import Assumptions, GraphParameters
from fedrec.secagg.thresholds import Thresholds

PROTOCOL: Final = "secagg+"
MESSAGE: Final = "message"
_FIELDS: Final[Mapping[str, str | int]] = {"format": FORMAT, "protocol": PROTOCOL}
_SAME_VERSION: Final = "Check that both sides run the same version"
_ATTEMPT: Final = "attempt"
_ATTEMPTS: Final = 256


class Exchange(StrEnum):
    """The six exchanges in order; the name of each is the name of its action on the wire."""

    ADVERTISE = "secagg_advertise"
    SHARE = "secagg_share"
    CHECK = "secagg_check"
    MASK = "secagg_mask"
    CONFIRM = "secagg_confirm"
    UNMASK = "secagg_unmask"


@dataclass(frozen=True)
class Invitation:
    """The first message down: the request, and which attempt at it this is (0 to 255)."""

    envelope: Envelope
    attempt: int

    def fields(self) -> dict[str, str]:
        """Everything but the arrays."""
        return {**self.envelope.fields(), _ATTEMPT: str(self.attempt)}

    def parts(self) -> dict[str, Part]:
        """The arrays."""
        return self.envelope.parts()

    @classmethod
    def read(cls, fields: Mapping[str, Any], parts: Mapping[str, Part]) -> Invitation:
        """The inverse, strict. Raises ProtocolError for anything else than `fields` and `parts` would have written."""
        rest = dict(fields)
        attempt = rest.pop(_ATTEMPT, None)
        if not isinstance(attempt, str) or attempt not in map(str, range(_ATTEMPTS)):
            raise ProtocolError("an invitation says no attempt", action=_SAME_VERSION)
        return cls(Envelope.read(rest, parts), int(attempt))

    def agreed(self, run: str, roster: bytes, seed: bytes, eligible: tuple[int, ...] | None) -> Agreed:
        """What the sum is bound to.

        ``run``: names it for ever. ``roster``: `Roster.digest`. ``seed``, ``eligible``: see `Agreed`. Raises SumError.
        """
        asked = self.envelope.request
        return _agreed(
            run=run,
            round=asked.number,
            request=self.envelope.digest,
            roster=roster,
            length=asked.sum.length,
            bound=asked.sum.element_bound + asked.sum.resolution / 2,
            resolution=asked.sum.resolution,
            rows=asked.sum.rows,
            bits=asked.sum.ring.bits,
            seed=seed,
            attempt=self.attempt,
            eligible=eligible,
        )


# At each message again, and the same for all devices of a simulation; it hashes a place for everybody who is asked.
_agreed = lru_cache(maxsize=2)(Agreed)


def thresholds_of(settings: SecureAggregationSettings, roster: int) -> Thresholds:
    """What a device with these settings insists on. ``roster``: how many devices it lists, of which cohorts are drawn.

    Who colludes is a share of the roster, so that a cohort may hold more of them: see `Assumptions`.
    """
    return Thresholds(
        cohort=settings.minimum_cohort,
        survivors=settings.minimum_survivors,
        assumptions=Assumptions(
            settings.corrupt, settings.dropout, settings.colluding, settings.security, roster=roster
        ),
        rounds_a_day=settings.rounds_a_day,
        attempts=settings.attempts,
        graph=GraphParameters(settings.neighbours, settings.threshold) if settings.neighbours else None,
    )


def message_fields() -> dict[str, str | int]:
    """The fields of every message but the invitation, down and up: constants of the protocol."""
    return dict(_FIELDS)


def message_parts(message: bytes) -> dict[str, Part]:
    """The arrays of every message but the invitation: the protocol's bytes."""
    return {MESSAGE: Part("uint8", (len(message),), message)}


def read_message(fields: Mapping[str, Any], parts: Mapping[str, Part]) -> bytes:
    """The protocol's bytes. Raises ProtocolError for a field or array too many or too few, or of another form."""
    if dict(fields) != _FIELDS or set(parts) != {MESSAGE}:
        raise ProtocolError("a message is not of the agreed form", action=_SAME_VERSION)
    part = parts[MESSAGE]
    if part.dtype != "uint8" or part.shape != (len(part.data),):
        raise ProtocolError("a message is not a row of bytes", value=(part.dtype, part.shape))
    return part.data
