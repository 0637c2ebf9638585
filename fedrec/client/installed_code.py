"""Whether this process runs what its owner installed: code that a SuperLink sent in a bundle must not open a store.

A SuperNode that was started without `fedrec device start` unpacks the bundle it is sent and imports a ``fedrec`` out of
it.  That copy was never told by anybody on the device that it may run, and so it refuses.  This holds for the bundle
that this project makes; a bundle of somebody else's making does as it likes, which is why a device starts with no other
command.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fedrec.config.simulated import is_simulated
from fedrec.errors import ConfigError

_allowed = False


def allow_installed_code() -> None:
    """Let this process open the device's store. Called by the command that its owner started, and by nothing else."""
    global _allowed
    _allowed = True


def refuse_sent_code(node_config: Mapping[str, Any]) -> None:
    """Raise ConfigError unless the device's owner started this code, or the device is simulated.

    Args:
        node_config: the node's own config.
    """
    if not (_allowed or is_simulated(node_config)):
        raise ConfigError(
            "this code was sent by a server, and a device runs what is installed on it only",
            action="Start the device with fedrec device start, not with flower-supernode",
        )
