"""When a device takes part: as often, and while its machine is in such a state, as its owner said.

While it may not, it is not connected at all, so that its absence looks like that of any device that is switched off:
no reply could tell why.  What the rules look at is no user's data: how often the device answered, which the server
knows, and the state of its machine, of which the server learns what it learns from any device that comes and goes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.client.machine_state import MachineState
from fedrec.client.pending_round import in_a_sum
from fedrec.data.store import EventStore
from fedrec.errors import ConfigError
from fedrec.privacy.device_ledger import DeviceLedger

_PERIODS: Final = {"hour": 3600, "day": 86_400, "week": 604_800}
_RATE: Final = re.compile(r"([1-9][0-9]{0,5})\s*/\s*([a-z]+)")
LONGEST_SUM: Final = 900.0
"""Seconds for which a sum that a device is in the middle of may still be finished; then it is the others' to close."""


@dataclass(frozen=True)
class Rate:
    """``times`` in any ``seconds``, both at least 1."""

    times: int
    seconds: int

    @classmethod
    def of(cls, text: str) -> Rate:
        """Read ``3/day``, ``1/hour`` or ``10/week``. Raises ConfigError for another text."""
        found = _RATE.fullmatch(text.strip().lower())
        if found is None or found[2] not in _PERIODS:
            raise ConfigError("this is no rate", value=text, action="Write a number and a period: 3/day or 10/week")
        return cls(int(found[1]), _PERIODS[found[2]])

    def __str__(self) -> str:
        return f"{self.times}/{next(name for name, seconds in _PERIODS.items() if seconds == self.seconds)}"


@dataclass(frozen=True)
class ParticipationRules:
    """``at_most``: so many sums in any such time, None = no limit.  ``only_idle``: while nothing else keeps the
    machine busy.  ``only_charging``: while it draws no power from a battery."""

    at_most: Rate | None = None
    only_idle: bool = False
    only_charging: bool = False

    @property
    def always(self) -> bool:
        """Whether there is no rule."""
        return self == ParticipationRules()


class Turn:
    """Whether a device may take part now, by its rules.

    Args:
        rules: its owner's.
        store: the device's.
        machine: what it runs on.
        clock: seconds since 1970.
        passed: seconds, never going back.
    """

    def __init__(
        self,
        rules: ParticipationRules,
        store: Path,
        machine: MachineState | None = None,
        *,
        clock: Callable[[], float] = time.time,
        passed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rules, self._store = rules, store
        self._machine = machine or MachineState()
        self._clock, self._passed = clock, passed
        self._since: float | None = None
        if rules.only_charging:
            self._machine.check_power()

    def why_not(self) -> str | None:
        """Why the device may not take part now, for its owner; None = it may.

        Raises:
            StoreError, PrivacyError: the store or its ledger cannot be read.
        """
        rules = self._rules
        if rules.only_charging and not self._machine.charging():
            return "the machine runs on its battery"
        if rules.only_idle and not self._machine.idle():
            return "the machine is busy"
        if rules.at_most is not None and self._answered(rules.at_most) >= rules.at_most.times:
            return f"it answered {rules.at_most} already"
        return None

    def over(self) -> str | None:
        """The same of a device that is connected: one that is in the middle of a sum first finishes it."""
        reason = None if self._rules.always else self.why_not()
        if reason is None:
            self._since = None
            return None
        if self._since is None:
            self._since = self._passed()
        with EventStore.open(self._store, check=False) as store:
            finishing = in_a_sum(store) and self._passed() - self._since < LONGEST_SUM
        return None if finishing else reason

    def _answered(self, rate: Rate) -> int:
        with EventStore.open(self._store, check=False) as store:
            return DeviceLedger(store).answered_since(int(self._clock()) - rate.seconds, rate.times)
