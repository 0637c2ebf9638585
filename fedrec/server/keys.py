"""The secret keys of one run, which must outlive a restart: who takes part when, and correlated noise.

All are derived from one secret in the server's state.  Whoever has it can take correlated noise off again and knows the
sample, so the state's file is its owner's alone, and the secret is forgotten as soon as training is over.
"""

from __future__ import annotations

from fedrec import randomness
from fedrec.config import Config
from fedrec.server.state import ServerState


class RunKeys:
    """Keys by purpose. Of a reproducible run they come from its seed, and are no secret."""

    def __init__(self, config: Config, state: ServerState) -> None:
        self._seed = config.run.seed if config.run.reproducible else None
        self._state = state

    def of(self, *labels: str | int) -> bytes:
        """The 32-byte key of this purpose: the same whenever it is asked for in this run."""
        if self._seed is not None:
            return randomness.key(self._seed, *labels)
        return randomness.derived_key(self._state.secret(), *labels)
