"""What NumPy's and torch's thread pools are told before they are loaded: how many threads, and how these wait.

The pools read environment variables once, while their library is loaded.  What a user has set stays as it is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Final

from fedrec.cores import Cores

COUNT: Final = "OMP_NUM_THREADS"
"""How many threads OpenMP's pool has, which is torch's; BLAS takes it over where it is told nothing of its own."""
COUNTS: Final = (COUNT, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""The last one is of the tokenizers."""
WAITING: Final[Mapping[str, str]] = {
    "OMP_WAIT_POLICY": "passive",
    "GOMP_SPINCOUNT": "0",
    "KMP_BLOCKTIME": "0",
    "OPENBLAS_THREAD_TIMEOUT": "4",
}
"""Threads that have nothing to do sleep, rather than take a core from who has: GNU's and LLVM's OpenMP, OpenBLAS."""


def settle_threads(environment: MutableMapping[str, str], cores: Cores) -> dict[str, str]:
    """Choose how many threads there are and how they wait, in place; return what was added.

    A user who set one of the counts has chosen how many there are, and none is added.
    """
    wanted = dict(WAITING)
    if not any(environment.get(name) for name in COUNTS):
        wanted |= dict.fromkeys(COUNTS, str(cores.threads()))
    added = {name: value for name, value in wanted.items() if not environment.get(name)}
    environment.update(added)
    return added


@contextmanager
def one_thread(environment: MutableMapping[str, str]) -> Iterator[None]:
    """While this is open, processes that are started compute with one thread each, whatever a user has set.

    For pools of processes: each already has a core, and pools within pools would multiply.
    """
    before = {name: environment.get(name) for name in COUNTS}
    environment.update(dict.fromkeys(COUNTS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value


def threads_here() -> int:
    """How many threads this process computes with: torch's number, or, before torch is loaded, what it will be."""
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    told = os.environ.get(COUNT, "")
    return max(1, int(told)) if told.isdigit() else Cores.here().usable


def use_threads(asked: int) -> None:
    """Compute with so many torch threads from here on; 0 leaves torch as it was started.

    Torch takes more than a second to load, and many runs need none of it: where it is not loaded yet, this is what it
    is told when it is; it then takes no more than there are cores.
    """
    if not asked:
        return
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ[COUNT] = str(asked)
    else:
        torch.set_num_threads(asked)
