"""How Flower's SuperNode takes messages: three things that it does otherwise than a device needs, set right.

*It looks soon.*  Flower's waits three seconds whenever there was no message, and a secure sum is six messages one after
another, so that most of a small sum's time was such waits.  What a device asks for, and from whom, stays the same; when
it does follows from when the server sent the last message, never from what the device holds.

*It forgets a message whose run ended while it came.*  Flower's keeps the task of such a message, whose content never
comes, hands it to whoever answers, and waits for the answer: two hours, in which it takes nothing else.  So a run that
was started again right after a crash found its devices deaf.

*It asks once more where the server fails.*  A SuperLink that many SuperNodes ask at once answers now and then that its
database is locked (status 500).  Flower's takes that for the end of everything: it looks for no more messages, while
its process stays up, or drops the answer that it was about to send.

Flower has no setting for any of it: `mend_supernode` puts functions of ours around two of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from fedrec.client.flower_runtime import check_flower
from fedrec.errors import ProtocolError
from fedrec.polling import Polling
from fedrec.server_failures import is_server_failure

_log = logging.getLogger(__name__)

FLOWERS_OWN: Final = 3.0
"""Seconds that Flower's SuperNode waits after it found nothing."""
_SHORTEST, _SHARE = 0.2, 0.5
_PULL: Final = "_pull_and_store_message"
_PUSH: Final = "_push_messages"
# What it is given to fetch a message's content with, after it has made a task of it.
_FETCHING: Final = ("pull_object", "confirm_message_received")
# All that it is given to ask the server with.
_ASKING: Final = frozenset({"receive", "get_run", "get_fab", "send", "push_object", *_FETCHING})
_PAUSES: Final = (0.1, 0.3, 1.0, 3.0)
Pull = Callable[..., int | None]


def mend_supernode() -> None:
    """Set all of it right in this process, which is to be a SuperNode.

    Raises:
        ConfigError: Flower is another version.
    """
    from flwr.supernode import start_client_internal  # with Flower's stores, which a device of a simulation lacks

    check_flower()
    pull, push = getattr(start_client_internal, _PULL), getattr(start_client_internal, _PUSH)
    setattr(start_client_internal, _PULL, asking_again(persisting(forgetting(pull))))
    setattr(start_client_internal, _PUSH, persisting(push))


def persisting(exchange: Callable[..., Any], sleep: Callable[[float], None] = time.sleep) -> Callable[..., Any]:
    """The same function, whose requests to the server are made again, four times at most, where the server failed.

    Args:
        exchange: takes what it asks the server with by name, as Flower's does.
        sleep: waits so many seconds.

    Of `_pull_and_store_message` a server that goes on failing is one that has no message just now.
    """

    def exchanged(*words: Any, **named: Any) -> Any:
        asking = {name: _again(named[name], sleep) for name in _ASKING if name in named}
        try:
            return exchange(*words, **(named | asking))
        except Exception as error:
            if not is_server_failure(error):
                raise
            _log.warning("the server fails again and again: %s", error)
            return None

    return exchanged


def _again(ask: Callable[..., Any], sleep: Callable[[float], None]) -> Callable[..., Any]:
    @wraps(ask)
    def asked(*words: Any, **named: Any) -> Any:
        for pause in _PAUSES:
            try:
                return ask(*words, **named)
            except Exception as error:
                if not is_server_failure(error):
                    raise
            sleep(pause)
        return ask(*words, **named)

    return asked


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
