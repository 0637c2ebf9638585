"""What a round proves of devices: things that no honest device does, whatever others tell it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from fedrec.secagg.errors import Reason
from fedrec.secagg.outcome import RefusedMessage
from fedrec.secagg.recovery import Liars

FALSE_SHARE: Final = "false-share"
FALSE_DEALING: Final = "shares-dealt-falsely"


def lies(liars: Liars, ids: Sequence[bytes]) -> dict[bytes, str]:
    """Devices that gave a share which they were not dealt, or dealt shares that do not fit together.

    Both by what they have signed: commitments to each share, complaints about boxes, and answers.
    """
    found = dict.fromkeys(sorted(liars.holders), FALSE_SHARE) | dict.fromkeys(sorted(liars.owners), FALSE_DEALING)
    return {ids[place]: reason for place, reason in found.items()}


def signed_nonsense(refused: Iterable[RefusedMessage]) -> dict[bytes, str]:
    """Devices that signed a message of a form that none has.

    A signature binds the message to this very round; one that is out of turn, doubled or of another context may have
    been said again by somebody else, and proves nothing.
    """
    return {
        message.device: message.reason.value
        for message in refused
        if message.device is not None and message.reason is Reason.MALFORMED
    }
