"""Blocks of a catalogue on all cores: threads that each take the next block as soon as they are free."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from fedrec.cores import allowed_cores

MOST_THREADS = 8
"""Reading memory is not made faster by more."""


class BlockWorkers:
    """Runs work by blocks. NumPy gives the interpreter free while it reads a block, so threads do work side by side.

    Args:
        threads: how many; None: as many as there are cores for this process, `MOST_THREADS` at most.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or min(allowed_cores(), MOST_THREADS)
        self._pool = ThreadPoolExecutor(self.threads - 1, "blocks") if self.threads > 1 else None

    def run(self, blocks: int, work: Callable[[int], None]) -> None:
        """Call ``work`` with each of 0 ... blocks - 1 once. Raises what a call of it raised."""
        following = count()

        def many() -> None:
            while (block := next(following)) < blocks:
                work(block)

        helpers = [] if self._pool is None else [self._pool.submit(many) for _ in range(min(self.threads, blocks) - 1)]
        try:
            many()
        finally:
            for helper in helpers:
                helper.cancel()
            errors = [helper.exception() for helper in helpers if not helper.cancelled()]
        for error in errors:
            if error is not None:
                raise error
