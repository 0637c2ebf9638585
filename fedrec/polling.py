"""How long to wait before asking again whether something has come: short while things come, else longer and longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from fedrec.errors import ConfigError

SHARE: Final = 0.25
"""Of the time since something last came, at most so much is waited in vain."""


@dataclass
class Polling:
    """A pause is a share of the time since something last came, between two bounds.

    So an answer that takes a second is seen within a fraction of one, and how often is asked in vain grows with the
    logarithm of the wait only, up to ``longest``.

    Args:
        shortest: seconds, above 0.
        longest: seconds.
        share: of the time since something came.
        clock: seconds, never going back.

    Raises:
        ConfigError: the bounds are not in order.
    """

    shortest: float
    longest: float
    share: float = SHARE
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)

    def __post_init__(self) -> None:
        if not (0 < self.shortest <= self.longest and self.share > 0):
            raise ConfigError("pauses grow from a shortest to a longest", value=(self.shortest, self.longest))
        self._last = self.clock()

    def came(self) -> None:
        """Something came just now."""
        self._last = self.clock()

    def pause(self) -> float:
        """Seconds to wait before the next look."""
        return min(self.longest, max(self.shortest, self.share * (self.clock() - self._last)))
