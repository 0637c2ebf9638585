"""Processes that work side by side for this one, and end when it ends, however that comes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor


def process_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of so many processes, each started anew rather than forked: torch's threads do not survive a fork.

    A worker that waits for work, or is in the midst of it, would outlive a parent that is killed and so cannot tell it
    to stop.  Each of these watches its parent, and is gone within moments.
    """
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()  # the pipe that only the parent holds is closed, by the system if not by itself
        # At once, whatever the other threads are at: what a run must not lose it has written already.
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
