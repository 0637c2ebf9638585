"""The state of the machine that a device runs on: what power it draws, and whether something else keeps it busy."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fedrec.errors import ConfigError

POWER: Final = Path("/sys/class/power_supply")
CPU: Final = Path("/proc/stat")
_BUSY: Final = 0.25
"""Of all cores: more than this in use by other processes is not idle."""
_LOOKS: Final = 5.0
_MAINS: Final = ("mains", "usb", "wireless")
# user, nice, system, (idle, iowait,) irq, softirq, steal: `proc(5)`.
_BUSY_FIELDS: Final = (0, 1, 2, 5, 6, 7)


class MachineState:
    """Reads what Linux says of power and processor time.

    Args:
        power: the directory of power supplies.
        cpu: the file of processor times.
        passed: seconds, never going back.
        own: processor seconds of this process and of its children that have ended.
    """

    def __init__(
        self,
        power: Path = POWER,
        cpu: Path = CPU,
        *,
        passed: Callable[[], float] = time.monotonic,
        own: Callable[[], float] = lambda: sum(os.times()[:4]),
    ) -> None:
        self._power, self._cpu, self._passed, self._own = power, cpu, passed, own
        self._looked: tuple[float, float] | None = None
        self._idle = False

    def check_power(self) -> None:
        """Raise ConfigError where this system does not say what power it draws."""
        if not self._power.is_dir():
            action = "Leave --only-charging out, or start and stop the device by what the system offers"
            raise ConfigError("this system does not say whether it is charging", value=str(self._power), action=action)

    def charging(self) -> bool:
        """Whether it draws no power from a battery: a charger is there, or it has no battery."""
        kinds: list[str] = []
        for supply in sorted(self._power.iterdir()):
            # A mouse's battery is a supply as well.
            if _said(supply / "scope") == "device":
                continue
            kind = _said(supply / "type")
            kinds.append(kind)
            if kind in _MAINS and _said(supply / "online") not in ("", "0"):
                return True
            if kind == "battery" and _said(supply / "status") in ("charging", "full", "not charging"):
                return True
        return "battery" not in kinds

    def idle(self) -> bool:
        """Whether other processes used less than a quarter of the cores since the last look, some seconds ago.

        The first look finds nothing to compare with, and says no.  A system without `CPU` is judged by its load
        average, in which this process counts.
        """
        now = self._passed()
        if self._looked is not None and now - self._looked[0] < _LOOKS:
            return self._idle
        used = self._used_by_others()
        if used is None:
            return os.getloadavg()[0] < _BUSY * _cores()
        if self._looked is not None:
            before, used_before = self._looked
            self._idle = used - used_before < _BUSY * _cores() * (now - before)
        self._looked = (now, used)
        return self._idle

    def _used_by_others(self) -> float | None:
        """Processor seconds of all other processes since the machine started."""
        try:
            words = self._cpu.read_text(encoding="ascii").split("\n", 1)[0].split()
            ticks = [int(word) for word in words[1:9]]
            return sum(ticks[field] for field in _BUSY_FIELDS) / os.sysconf("SC_CLK_TCK") - self._own()
        except (OSError, ValueError, IndexError):
            return None


def _cores() -> int:
    """Of the machine: what its processor times and its load are of."""
    return os.cpu_count() or 1


def _said(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip().lower()
    except OSError:
        return ""
