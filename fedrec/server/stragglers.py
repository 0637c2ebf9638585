"""When an exchange closes: everybody has answered, or enough have and the others have had their time, or patience ends.

Pure logic: whoever sends messages says what is sent and what arrives, and when.  A device that did not answer in an
exchange is out of it for good; a reply that comes later is not taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from fedrec.errors import ConfigError

STRIKES: Final = 2


@dataclass(frozen=True)
class StragglerPolicy:
    """How long devices are waited for.

    ``patience``: seconds after which a device counts as silent in any case.  ``grace``: once enough devices have
    answered, another one may take so many times longer than the slowest of these; 0 = no longer.  ``shortest``: seconds
    that a device has in any case, within its patience.

    Raises:
        ConfigError: a number is out of range.
    """

    patience: float = 3600.0
    grace: float = 2.0
    shortest: float = 10.0

    def __post_init__(self) -> None:
        if not (self.patience > 0 and self.grace >= 0 and self.shortest >= 0):
            raise ConfigError(
                "devices are waited for with a patience above 0 seconds, and a grace from 0",
                value=(self.patience, self.grace, self.shortest),
            )

    def allowed(self, seconds: float) -> float:
        """How long a device may take where others took so many seconds."""
        return min(self.patience, max(self.shortest, (1 + self.grace) * seconds))


def floor_of(asked: int, dropout: float, least: int = 0) -> int:
    """The fewest of ``asked`` devices that an exchange can go on with, where a share ``dropout`` may be missing."""
    return min(asked, max(least, math.ceil(round((1 - dropout) * asked, 9))))


@dataclass
class OpenExchange:
    """One exchange with many devices, while it is open. Times are seconds of one clock that only goes forward.

    Args:
        policy: how long to wait.
        asked: how many devices are asked in all.
        floor: the fewest good answers with which it can go on.
        unreliable: nodes among them that were silent again and again. They are asked all the same, and their answers
            count, but once enough others have answered nobody waits for them.
    """

    policy: StragglerPolicy
    asked: int
    floor: int
    unreliable: Collection[int] = ()
    _waiting: dict[str, tuple[int, float]] = field(default_factory=dict)
    _seconds: list[float] = field(default_factory=list)
    _sent: int = 0
    _bad: int = 0
    _allowed: float | None = None

    @property
    def quorum(self) -> int:
        """Good answers that are enough: half of what may still be missing is kept for the exchanges that follow.

        Whoever was silent before, or has given a bad answer, is not counted on.
        """
        expected = max(self.floor, self.asked - self._bad - len(self.unreliable))
        return expected - (expected - self.floor) // 2

    @property
    def waiting(self) -> list[str]:
        """The names of messages that a reply to would still be taken."""
        return list(self._waiting)

    def sent(self, name: str, node: int, now: float) -> None:
        """A message went out; no name: it could not be sent."""
        self._sent += 1
        if name:
            self._waiting[name] = (node, now)

    def arrived(self, name: str, now: float) -> float | None:
        """A reply came in. Returns after how many seconds, or `None` where it is late, doubled or to nothing."""
        found = self._waiting.pop(name, None)
        return None if found is None else now - found[1]

    def judged(self, seconds: float, *, good: bool) -> None:
        """What the reply that came after ``seconds`` was worth."""
        if not good:
            self._bad += 1
        else:
            self._seconds.append(seconds)
        if self._allowed is None and len(self._seconds) >= self.quorum:
            self._allowed = self.policy.allowed(max(self._seconds, default=0.0))

    def room(self, window: int, now: float) -> int:
        """How many messages may go out now, if ``window`` of those that are likely to be answered may be under way.

        One that takes far longer than most did no longer counts, or a few silent devices would hold everybody up.
        """
        if len(self._waiting) < window or not self._seconds:
            return window - len(self._waiting)
        usual = self.policy.allowed(median(self._seconds))
        return window - sum(now - since < usual for _, since in self._waiting.values())

    def pass_time(self, now: float) -> None:
        """Give up on messages that have been under way for longer than `StragglerPolicy.patience`."""
        self._waiting = {
            name: (node, since) for name, (node, since) in self._waiting.items() if now - since < self.policy.patience
        }

    def over(self, now: float) -> bool:
        """Whether nobody is to be waited for any more."""
        if self._sent < self.asked:
            return False
        if not self._waiting:
            return True
        if self._allowed is None:
            return False
        return all(node in self.unreliable or now - since >= self._allowed for node, since in self._waiting.values())


class SilenceRecord:
    """Which nodes were silent when they were last asked, and how often in a row."""

    def __init__(self) -> None:
        self._silent: Counter[int] = Counter()

    def note(self, answered: Iterable[int], silent: Iterable[int]) -> None:
        """What a request has come to: one answer makes up for any silence."""
        self._silent.update(silent)
        for node in answered:
            del self._silent[node]

    def unreliable(self, nodes: Iterable[int]) -> frozenset[int]:
        """Those that were silent `STRIKES` times in a row, or more."""
        return frozenset(node for node in nodes if self._silent[node] >= STRIKES)

    def reliable_first(self, nodes: Iterable[int]) -> list[int]:
        """The nodes in their order, but for those that were silent, which come last."""
        return sorted(nodes, key=self._silent.__getitem__)
