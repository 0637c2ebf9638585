"""How many threads to compute with: the cores that a process may use and that nobody else is using.

Two threads that share one core with other work make each other wait: a parallel loop ends with its slowest thread, and
a thread that waits by spinning takes the core from the one that it waits for.  So a process looks before it starts.
Imports neither NumPy nor torch, which read their number of threads when they are loaded.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOOKS: Final = 5
LOOK_SECONDS: Final = 0.002
"""Between looks at who is running: a process that only woke up for a moment is not seen in most of them."""
_CGROUPS: Final = Path("/sys/fs/cgroup")
_MEMBERSHIP: Final = Path("/proc/self/cgroup")
_STATISTICS: Final = Path("/proc/stat")


@dataclass(frozen=True)
class Cores:
    """What a process sees of a machine's cores, at one time.

    ``online``: all there are, at least 1.  ``allowed``: those this process may run on (its affinity).  ``quota``: how
    many cores' worth of time its control group grants, above 0; None without a limit.  ``busy``: how many threads of
    others are running or want to.
    """

    online: int
    allowed: int
    quota: float | None
    busy: float

    @classmethod
    def here(cls) -> Cores:
        """This process on this machine, now; takes about 10 ms."""
        online = os.cpu_count() or 1
        return cls(online, allowed_cores(), quota_of(_CGROUPS, _MEMBERSHIP), busy_others(_STATISTICS))

    @property
    def usable(self) -> int:
        """Cores that this process can have at all, whoever else is there; at least 1.

        A part of a core that a quota leaves over counts for nothing: a thread that only has part of one holds up those
        that wait for it.
        """
        granted = self.allowed if self.quota is None else min(self.allowed, int(self.quota))
        return max(1, granted)

    def threads(self, asked: int = 0) -> int:
        """Threads to compute with: ``asked``, or, where that is 0, the usable cores that are free; at least 1."""
        if asked:
            return asked
        return max(1, min(self.usable, self.online - round(self.busy)))


def allowed_cores() -> int:
    """How many cores this process may run on; all of them where the system has no affinity."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota_of(groups: Path, membership: Path) -> float | None:
    """How many cores' worth of time the control group grants, the least of its own and its ancestors' limits.

    Args:
        groups: where control groups are mounted, of version 2 (``cpu.max``) or 1 (``cpu/cpu.cfs_quota_us``).
        membership: the file that says which groups this process is in, such as ``/proc/self/cgroup``.

    Returns:
        Cores, above 0; None where there is no limit or it cannot be read.
    """
    limits = []
    for line in _text(membership).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        root = groups if not controllers else groups / "cpu"
        if controllers and "cpu" not in controllers.split(","):
            continue
        place = root / path.lstrip("/")
        limits += [found for one in (place, *place.parents) if one.is_relative_to(root) and (found := _limit(one))]
    return min(limits, default=None)


def busy_others(statistics: Path) -> float:
    """How many threads of others compute or wait for a core, the median of some looks; never below 0.

    ``statistics``: such as ``/proc/stat``.  Where the system has none, the load average of the last minute stands in.
    """
    counts: list[int] = []
    for look in range(LOOKS):
        if look:
            time.sleep(LOOK_SECONDS)
        words = [line.split() for line in _text(statistics).splitlines() if line.startswith("procs_running ")]
        if not words:
            return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        counts.append(int(words[0][1]))
    return max(0.0, sorted(counts)[LOOKS // 2] - 1)  # one of them is the thread that looks


def _limit(group: Path) -> float | None:
    """Cores of one control group's own limit."""
    words = _text(group / "cpu.max").split()
    if len(words) != 2:
        words = [*_text(group / "cpu.cfs_quota_us").split(), *_text(group / "cpu.cfs_period_us").split()]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or nothing there
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
