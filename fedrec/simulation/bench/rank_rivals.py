"""Exact search by other libraries, to be timed beside ours.

They are no dependencies: whoever compares installs them.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import MissingExtraError

Floats32 = NDArray[np.float32]
Search = Callable[[Floats32], NDArray[np.integer[Any]]]

REQUIREMENTS: Final = "simulations/benchmarks/rank-requirements.txt"


def rival(name: str, rows: Floats32, k: int) -> Search:
    """The exact search by inner product of ``faiss`` or ``usearch``, on all cores, over vectors [items, width].

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return {"faiss": _faiss, "usearch": _usearch}[name](rows, k)
    except ImportError:
        raise MissingExtraError(
            f"{name} is not installed", action=f"pip install -r {REQUIREMENTS}, or leave it out of --against"
        ) from None


def _faiss(rows: Floats32, k: int) -> Search:
    faiss = importlib.import_module("faiss")
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index = faiss.IndexFlatIP(rows.shape[1])
    index.add(np.asarray(rows))
    return lambda user: np.asarray(index.search(user[None], k)[1][0])


def _usearch(rows: Floats32, k: int) -> Search:
    usearch = importlib.import_module("usearch.index")
    held, threads = np.array(rows), os.cpu_count() or 1

    def search(user: Floats32) -> NDArray[np.integer[Any]]:
        return np.asarray(usearch.search(held, user, k, usearch.MetricKind.IP, exact=True, threads=threads).keys)

    return search
