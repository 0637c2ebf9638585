"""Processes that work side by side for this one, and end when it ends, however that comes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess

from fedrec.thread_settings import one_thread


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of so many processes, each started anew rather than forked: torch's threads do not survive a fork.

    Each computes with one thread, so that as many workers as there are cores leave none waiting.

    A worker that waits for work, or is in the midst of it, would outlive a parent that is killed and so cannot tell it
    to stop.  Each of these watches its parent, and is gone within moments.
    """
    return ProcessPoolExecutor(workers, mp_context=_WorkerContext(), initializer=_end_with_parent)


class _Worker(SpawnProcess):
    def start(self) -> None:
        # Its environment is that of its parent at this moment.
        with one_thread(os.environ):
            super().start()


class _WorkerContext(SpawnContext):
    Process = _Worker  # type: ignore[assignment,unused-ignore]


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()  # the pipe that only the parent holds is closed, by the system if not by itself
        # At once, whatever the other threads are at: what a run must not lose it has written already.
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
