"""When an answer leaves a device: at one of few times that the message's arrival fixes, whatever made it take long.

How long a device reckons depends on what it holds: a photo that was never encoded, a longer history.  So an answer
waits for the next of the times ``first``, 2 ``first``, 4 ``first``, ... after its message came in.  Whoever watches
learns which of these it was, and that changes only where the reckoning ends near one of them: set ``first`` well above
what a device needs (`fedrec.client.app` takes it from ``answer-after`` in the node's own config).

The schedule hides time from whoever gets the answer.  What the device's own hardware shows on the way (power, cache,
load seen by other processes) it does not hide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fedrec.config.simulated import is_simulated
from fedrec.errors import ConfigError

NODE_KEY: Final = "answer-after"
"""In a node's own config: seconds, 0 to 3600; 0 = as soon as it is ready, which is for simulations."""
DEFAULT: Final = 0.5
_LONGEST: Final = 3600.0


@dataclass(frozen=True)
class AnswerSchedule:
    """Times at which answers leave, in seconds after their message came in.

    Args:
        first: the first of them; 0 = answers do not wait.
        clock: seconds, never going back.
        sleep: waits so many seconds.

    Raises:
        ConfigError: ``first`` is not 0 to 3600 seconds.
    """

    first: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if isinstance(self.first, bool) or not isinstance(self.first, int | float) or not 0 <= self.first <= _LONGEST:
            action = f"Set {NODE_KEY} in the node's config to 0 to {_LONGEST:g}"
            raise ConfigError("a device answers after a number of seconds", value=self.first, action=action)

    @classmethod
    def of(cls, node_config: Mapping[str, Any]) -> AnswerSchedule:
        """As a node's own config says, half a second where it says nothing; simulated devices do not wait.

        Raises:
            ConfigError: it says no number of seconds.
        """
        return cls(node_config.get(NODE_KEY, 0.0 if is_simulated(node_config) else DEFAULT))

    def leaves(self, taken: float) -> float:
        """When an answer leaves that took ``taken`` seconds: the first time of the schedule that is not before."""
        if not self.first:
            return taken
        at = float(self.first)
        while at < taken:
            at *= 2
        return at

    def wait(self, arrived: float) -> None:
        """Wait until the answer leaves to a message that came in at ``arrived``, by the same clock."""
        leaves = arrived + self.leaves(self.clock() - arrived)
        while (left := leaves - self.clock()) > 0:
            self.sleep(left)
