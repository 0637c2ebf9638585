"""Memory that is freed and asked for again: kept, where the C library would hand it back to the system in between.

A pass over a batch makes some megabytes and frees them, thousands of times.  The GNU C library gives what is freed at
the end of its heap back to the system above a threshold of 128 kB to 64 MB, and the system clears every page that is
asked for again: that took half of the time of the reference workload W1.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache
from typing import Final

_TRIM_THRESHOLD: Final = -1  # names of mallopt(3)
_MMAP_THRESHOLD: Final = -3
KEPT: Final = 256 * 2**20
"""Bytes that may stay with the process after they were freed."""
_LARGEST: Final = 32 * 2**20  # the most that the library takes for a threshold of mmap


@cache
def keep_freed_memory() -> bool:
    """Let the process keep up to `KEPT` bytes that it frees, from now on; returns whether the C library does so."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, KEPT) and mallopt(_MMAP_THRESHOLD, _LARGEST))
