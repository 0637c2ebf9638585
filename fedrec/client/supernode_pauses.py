"""How soon Flower's SuperNode looks for its next message: soon while a sum is under way, else as seldom as ever.

Flower's waits three seconds whenever there was no message, and a secure sum is six messages one after another, so that
most of a small sum's time was such waits.  What a device asks for, and from whom, stays the same; when it does follows
from when the server sent the last message, never from what the device holds.

Flower has no setting for it: `shorten_pauses` puts a function that asks again in the place of one of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from flwr.supernode import start_client_internal

from fedrec.client.flower_runtime import check_flower
from fedrec.polling import Polling

FLOWERS_OWN: Final = 3.0
"""Seconds that Flower's SuperNode waits after it found nothing."""
_SHORTEST, _SHARE = 0.2, 0.5
_PULL: Final = "_pull_and_store_message"


def shorten_pauses() -> None:
    """Make this process, which is to be a SuperNode, look soon after a message.

    Raises:
        ConfigError: Flower is another version.
    """
    check_flower()
    setattr(start_client_internal, _PULL, asking_again(getattr(start_client_internal, _PULL)))


def asking_again(
    pull: Callable[..., int | None],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Callable[..., int | None]:
    """The same function, which looks again by itself until a pause would be as long as Flower's own.

    Args:
        pull: looks once for a message; None where there is none.
        clock: seconds, never going back.
        sleep: waits so many seconds.
    """
    polling = Polling(_SHORTEST, FLOWERS_OWN, _SHARE, clock)
    answered = False

    def pull_soon(*words: Any, **named: Any) -> int | None:
        nonlocal answered
        if answered:  # an answer left just now, and the next message follows from it
            polling.came()
        while (found := pull(*words, **named)) is None:
            pause = polling.pause()
            if pause >= FLOWERS_OWN:
                break
            sleep(pause)
        answered = found is not None
        return found

    return pull_soon
