"""Whether this process may run settings that protect nobody: ``run.reproducible`` draws noise and keys from the seed.

A simulation has to say so where no server can: the in-process engine does in each node's own config, Flower's
simulation runtime in the environment of its processes. A deployment says neither, and so neither app starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from fedrec.config.root import Config
from fedrec.errors import ConfigError

NODE_KEY: Final = "simulation"
"""In a node's own config, never in the run's: true on a device that is simulated."""
VARIABLE: Final = "FEDREC_SIMULATION"
"""In the environment of Flower's simulation runtime: 1."""


def is_simulated(node_config: Mapping[str, Any] | None = None) -> bool:
    """Whether this process, or the node with this config, is part of a simulation."""
    return os.environ.get(VARIABLE) == "1" or (node_config is not None and node_config.get(NODE_KEY) is True)


def refuse_reproducible(config: Config, *, simulated: bool) -> None:
    """Raise ConfigError where settings take the noise from the seed outside of a simulation."""
    if config.run.reproducible and not simulated:
        raise ConfigError(
            "run.reproducible takes the noise from the seed, which protects nobody; it is for simulations only",
            action=f"Leave it out; to simulate with flwr run, set {VARIABLE}=1 in the SuperLink's environment",
        )
