"""What a deployed device starts with: four files of its own, none of which a server can name for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from fedrec.errors import ConfigError


@dataclass(frozen=True)
class DeviceFiles:
    """``manifest``: what the publisher signed for the run.  ``catalogue``: a directory of features.  ``roster``: the
    signed list of devices.  ``store``: the device's event store, which knows the publisher's key."""

    manifest: Path
    catalogue: Path
    roster: Path
    store: Path

    @classmethod
    def of(cls, node_config: Mapping[str, Any]) -> DeviceFiles:
        """The files that a node's own config names. Raises ConfigError where one is not named, and names it."""
        missing = [field.name for field in fields(cls) if not node_config.get(field.name)]
        if missing:
            raise ConfigError(
                f"a device starts only with its own {', '.join(field.name for field in fields(cls))}",
                value=f"no {', no '.join(missing)}",
                action=f"Set {', '.join(missing)} in the node's own config; what a run's config says is not used",
            )
        return cls(*(Path(str(node_config[field.name])) for field in fields(cls)))
