"""How Flower's SuperNode takes messages: two things that it does otherwise than a device needs, set right.

*It looks soon.*  Flower's waits three seconds whenever there was no message, and a secure sum is six messages one after
another, so that most of a small sum's time was such waits.  What a device asks for, and from whom, stays the same; when
it does follows from when the server sent the last message, never from what the device holds.

*It forgets a message whose run ended while it came.*  Flower's keeps the task of such a message, whose content never
comes, hands it to whoever answers, and waits for the answer: two hours, in which it takes nothing else.  So a run that
was started again right after a crash found its devices deaf.

Flower has no setting for either: `mend_supernode` puts a function of ours around one of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from fedrec.client.flower_runtime import check_flower
from fedrec.errors import ProtocolError
from fedrec.polling import Polling

FLOWERS_OWN: Final = 3.0
"""Seconds that Flower's SuperNode waits after it found nothing."""
_SHORTEST, _SHARE = 0.2, 0.5
_PULL: Final = "_pull_and_store_message"
# What it is given to fetch a message's content with, after it has made a task of it.
_FETCHING: Final = ("pull_object", "confirm_message_received")
Pull = Callable[..., int | None]


def mend_supernode() -> None:
    """Set both right in this process, which is to be a SuperNode.

    Raises:
        ConfigError: Flower is another version.
    """
    from flwr.supernode import start_client_internal  # with Flower's stores, which a device of a simulation lacks

    check_flower()
    setattr(start_client_internal, _PULL, asking_again(forgetting(getattr(start_client_internal, _PULL))))


def asking_again(
    pull: Pull,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Pull:
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


def forgetting(pull: Pull) -> Pull:
    """The same function, to which the end of a run while its message comes is a failure like any other.

    Of any other, it forgets the message and ends its task.
    """

    def pull_whole(*words: Any, **named: Any) -> int | None:
        fetching: dict[str, Any] = {name: _failing(named[name]) for name in _FETCHING if name in named}
        return pull(*words, **(named | fetching))

    return pull_whole


def _failing(fetch: Callable[..., Any]) -> Callable[..., Any]:
    from flwr.supercore.run import RunNotRunningException

    def fetched(*words: Any, **named: Any) -> Any:
        try:
            return fetch(*words, **named)
        except RunNotRunningException:  # no Exception, so that Flower's own handler of failures does not see it
            raise ProtocolError("the run ended while its message came") from None

    return fetched
