"""One function over many batches, on several cores: each batch on one core, instead of all cores on each batch.

The operations on one batch are short, so that cores which share each of them mostly wait for each other, and on a busy
machine always for the slowest.  Torch lets go of Python's lock within an operation.  Results come in the order of the
batches, and a batch is computed as it would be alone, so that figures do not depend on the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import torch

from fedrec.training.allocator import keep_freed_memory

Given = TypeVar("Given")
Made = TypeVar("Made")


def side_by_side(function: Callable[[Given], Made], batches: Iterable[Given], workers: int) -> Iterator[Made]:
    """The results of ``function``, in order; at most ``workers`` + 2 batches are held at once.

    What ``function`` or ``batches`` raises is raised.  While it lasts, torch uses one core an operation.
    """
    waiting = iter(batches)
    first = list(islice(waiting, 2))
    if len(first) > 1:
        keep_freed_memory()
    if workers < 2 or len(first) < 2:
        yield from map(function, chain(first, waiting))
        return
    before = torch.get_num_threads()
    ahead: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(workers, "rows", initializer=torch.set_num_threads, initargs=(1,))
    try:
        torch.set_num_threads(1)
        for batch in chain(first, waiting):
            ahead.append(pool.submit(function, batch))
            if len(ahead) > workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(before)
