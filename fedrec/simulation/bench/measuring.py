"""How every benchmark measures: several runs, the median, and rivals in turn with ours.

A machine has good and bad spells.  What is compared is therefore run in turn, round after round, so that a spell meets
all alike, and what is told of a comparison is the median of the rounds' ratios.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

import numpy as np

LEAST_RUNS: Final = 3


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of one thing: ``runs`` in the order they were made, at least one, each above 0."""

    runs: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the runs, seconds."""
        return median(self.runs)

    def ratio_to(self, other: Timing) -> float:
        """How many times as long as ``other`` this took: the median over rounds of a round's ratio."""
        return median(mine / theirs for mine, theirs in zip(self.runs, other.runs, strict=True))

    def facts(self) -> dict[str, float]:
        """``median``, ``fastest`` and ``slowest`` in seconds, and how many ``runs``."""
        return {"median": self.median, "fastest": min(self.runs), "slowest": max(self.runs), "runs": len(self.runs)}


def in_turn(contenders: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, Timing]:
    """Run each once unmeasured, then all in turn until ``seconds`` are over, `LEAST_RUNS` rounds at least."""
    for run in contenders.values():
        run()
    found: dict[str, list[float]] = {name: [] for name in contenders}
    began, rounds = time.perf_counter(), 0
    while rounds < LEAST_RUNS or time.perf_counter() - began < seconds:
        for name, run in contenders.items():
            found[name].append(seconds_of(run))
        rounds += 1
    return {name: Timing(tuple(runs)) for name, runs in found.items()}


def seconds_of(run: Callable[[], object]) -> float:
    """Run once and tell how many seconds it took."""
    started = time.perf_counter()
    run()
    return max(time.perf_counter() - started, 1e-9)


@dataclass(frozen=True)
class Machine:
    """What a figure was measured on. ``load``: busy processes over the last minute, None where it cannot be told."""

    cores: int
    machine: str
    python: str
    numpy: str
    load: float | None

    @classmethod
    def here(cls) -> Machine:
        """This machine, now."""
        load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
        return cls(os.cpu_count() or 1, platform.machine(), platform.python_version(), np.__version__, load)

    def facts(self) -> dict[str, Any]:
        """As a table for a benchmark's document."""
        return asdict(self)
