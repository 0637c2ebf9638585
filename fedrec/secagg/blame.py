"""What a round proves of devices: things that no honest device does, whatever others tell it."""

from __future__ import annotations

from collections.abc import Iterable

from fedrec.secagg.errors import Reason
from fedrec.secagg.outcome import RefusedMessage


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
