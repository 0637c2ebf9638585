"""Encoding a catalogue block by block: on all the threads a process has, kept as it goes, in bounded memory.

A block is the same pieces in the same order however many threads there are and however often a run was cut off, and is
encoded by one thread; so are the results, to the last bit.  Threads and not processes: decoders, tokenizers and torch
let other threads run while they work, and pictures are decoded while others go through a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, Final

import numpy as np

from fedrec.content.encoder import Encoded, Problem, Progress
from fedrec.content.kept_parts import KeptParts
from fedrec.thread_settings import threads_here, use_threads

AHEAD: Final = 2
"""Blocks that wait for a thread, for each thread: so many hold their results in memory at once, beside the whole."""


def encode_in_blocks(
    encode: Callable[[Sequence[Any]], Encoded],
    batch: Sequence[Any],
    order: Sequence[int],
    size: int,
    *,
    kept: KeptParts | None = None,
    progress: Progress | None = None,
    what: str = "items",
) -> Encoded:
    """What ``encode`` gives for the whole batch, found block by block.

    Args:
        encode: encodes some pieces; called with each block once, from several threads.
        batch: all pieces, at least one.
        order: every place of ``batch`` once: in which order they are taken.
        size: pieces of a block, at least 1.
        kept: where finished blocks are kept; those that are there are not encoded again.
        progress: called as (done, len(batch), what), from this thread.
        what: what is encoded, for people.

    Returns:
        values [len(batch), ...], present and problems, in the order of ``batch``.

    Raises:
        ContentError: what is kept cannot be written; or whatever ``encode`` raises.
    """
    blocks = [order[start : start + size] for start in range(0, len(order), size)]
    found = _Whole(len(batch))
    there = {} if kept is None else kept.read(len(blocks))
    for number, encoded in there.items():
        found.put(blocks[number], encoded)
    missing = [number for number in range(len(blocks)) if number not in there]
    jobs = ([batch[place] for place in blocks[number]] for number in missing)
    for number, encoded in zip(missing, _all_encoded(encode, jobs, len(missing)), strict=True):
        found.put(blocks[number], encoded)
        if kept is not None:
            kept.add(number, encoded)
        if progress is not None:
            progress(found.done, len(batch), what)
    return found.encoded()


class _Whole:
    """The results put together; memory for them is taken with the first block, which says how wide they are."""

    def __init__(self, rows: int) -> None:
        self.rows, self.done = rows, 0
        self.values: np.ndarray[Any, np.dtype[Any]] | None = None
        self.present = np.zeros(rows, np.bool_)
        self.problems: list[Problem] = []

    def put(self, places: Sequence[int], encoded: Encoded) -> None:
        if self.values is None:
            self.values = np.zeros((self.rows, *encoded.values.shape[1:]), encoded.values.dtype)
        self.values[places], self.present[places] = encoded.values, encoded.present
        self.problems += [Problem(int(places[problem.place]), problem.reason) for problem in encoded.problems]
        self.done += len(places)

    def encoded(self) -> Encoded:
        assert self.values is not None, "there is at least one block"
        # Problems of one place keep their order.
        return Encoded(self.values, self.present, tuple(sorted(self.problems, key=lambda problem: problem.place)))


def _all_encoded(
    encode: Callable[[Sequence[Any]], Encoded], jobs: Iterator[Sequence[Any]], count: int
) -> Iterator[Encoded]:
    """The jobs' results in their order, at most `AHEAD` a thread begun before they are taken."""
    before = threads_here()
    threads = min(before, count)
    if threads <= 1:
        yield from map(encode, jobs)
        return
    pool = ThreadPoolExecutor(threads, "encode", initializer=use_threads, initargs=(1,))
    try:
        waiting: list[Future[Encoded]] = [pool.submit(encode, job) for job in islice(jobs, threads * AHEAD)]
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(encode, job) for job in islice(jobs, 1)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        use_threads(before)
