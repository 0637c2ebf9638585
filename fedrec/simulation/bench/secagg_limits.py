"""What a mask costs on this machine, and the two limits below it: making the key stream, and moving memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from fedrec.randomness import key
from fedrec.secagg.masks import BLOCK_BYTES, add_masks, word_type
from fedrec.secagg.ring import Ring

_REPEATS = 5
_MEMORY_BYTES = 1 << 27  # far beyond any cache


def mask_figures(length: int, masks: int, ring: Ring, workers: int) -> dict[str, Any]:
    """Nanoseconds per element and mask, on one thread and on ``workers``, beside the limits of the same minute.

    ``ns_per_element_mask_cpu`` is the thread's own time, which other work on the machine disturbs less.
    The key stream's limit is the cipher alone in blocks of the same size.  The memory limit is what reading and writing
    every element once per mask would cost if the vector were not kept in the cache: a mask may be faster than that.
    """
    total = np.zeros(length, dtype=word_type(ring))
    keys = [(key(0, "benchmark mask", at), 1 if at % 2 else -1) for at in range(masks)]
    elements = length * masks
    one = fastest(lambda: add_masks(total, keys, ring)) / elements
    one_cpu = fastest(lambda: add_masks(total, keys, ring), time.thread_time) / elements
    several = fastest(lambda: add_masks(total, keys, ring, workers)) / elements
    stream = fastest(lambda: make_streams([one for one, _ in keys], total.nbytes)) / elements
    bandwidth = memory_bandwidth()
    memory = 2 * total.itemsize / bandwidth
    return {
        "ns_per_element_mask": one * 1e9,
        "ns_per_element_mask_cpu": one_cpu * 1e9,
        "ns_per_element_mask_workers": several * 1e9,
        "keystream_limit_ns": stream * 1e9,
        "keystream_share": stream / one,
        "memory_limit_ns": memory * 1e9,
        "memory_share": memory / one,
        "memory_gb_per_second": bandwidth / 1e9,
        "word_bytes": total.itemsize,
    }


def make_streams(keys: list[bytes], size: int) -> None:
    """Make every key's stream of ``size`` bytes, block by block, and throw it away."""
    zeros, stream = memoryview(bytes(BLOCK_BYTES)), bytearray(BLOCK_BYTES)
    for one in keys:
        encryptor = Cipher(algorithms.AES256(one), modes.CTR(bytes(16))).encryptor()
        for start in range(0, size, BLOCK_BYTES):
            encryptor.update_into(zeros[: min(BLOCK_BYTES, size - start)], stream)


def memory_bandwidth() -> float:
    """Bytes a second, read and written together, of adding to a vector far larger than the cache, in place."""
    large = np.zeros(_MEMORY_BYTES // 4, dtype=np.uint32)
    one = np.uint32(1)
    return 2 * large.nbytes / fastest(lambda: np.add(large, one, out=large))


def fastest(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the fastest of several runs: what the machine can do when nothing else interrupts it."""
    seconds = []
    for _ in range(_REPEATS):
        began = clock()
        work()
        seconds.append(clock() - began)
    return min(seconds)


def median(seconds: list[float]) -> float:
    """The median, in milliseconds."""
    return 1e3 * statistics.median(seconds)
