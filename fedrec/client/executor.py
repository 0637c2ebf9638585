"""Answer a SuperNode's messages with an app of this very process: no bundle is unpacked, imported or looked at."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from fedrec.client.flower_runtime import ClientCall, NodeConfig, ReceivedTask
from fedrec.errors import ProtocolError
from fedrec.polling import Polling

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 0.25
_FAILURES: Final = 20
_SHORTEST, _LONGEST, _SHARE = 0.1, 0.5, 0.1


class Tasks(Protocol):
    """Where messages come from: see `SuperNodeTasks`."""

    def acquire(self) -> ReceivedTask | None:
        """The next one, or None."""


def answer_tasks(
    tasks: Tasks, app: ClientCall, node_config: NodeConfig, ended: threading.Event, check: Callable[[], None]
) -> None:
    """Answer one message after another until ``ended`` is set.

    Args:
        tasks: of the SuperNode.
        app: the installed one; it gets ``node_config`` and no config of any run.
        node_config: the device's own, from its owner.
        ended: looked at between messages.
        check: called between messages; raises where the SuperNode has ended.

    Raises:
        ProtocolError: the SuperNode has ended, or could not be reached twenty times in a row.

    A message that cannot be received or answered is the server's loss, and the next one is taken.
    """
    failures, polling = 0, Polling(_SHORTEST, _LONGEST, _SHARE)
    while not ended.is_set():
        check()
        try:
            task = tasks.acquire()
        except ProtocolError:
            # A machine that slept finds its connections dead.
            failures += 1
            if failures >= _FAILURES:
                raise
            task = None
        else:
            failures = 0
        if task is None:
            ended.wait(_PAUSE_SECONDS if failures else polling.pause())
            continue
        try:
            _answer(task, app, node_config)
        except ProtocolError as error:
            _log.warning("a message was left unanswered: %s", error)
        finally:
            task.close()
            polling.came()


def _answer(task: ReceivedTask, app: ClientCall, node_config: NodeConfig) -> None:
    with task.kept_alive():
        received = task.receive()
        try:
            reply = app(received.message, received.context(node_config))
        except Exception as error:  # its text would go to the server
            _log.error("a message could not be answered: %s", type(error).__name__)
            reply = received.failure()
        task.answer(received, reply)
