"""Settings as Flower's run-config carries them, whose values are scalars and whose keys must be declared.

``config`` is JSON or a TOML file (`fedrec.config.load.from_run_config`); ``set`` is ``section.key=value`` pairs with
blanks between them; and a few settings are keys of their own, as Flower's users expect.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fedrec.config.load import from_run_config, from_tree
from fedrec.config.overrides import with_overrides
from fedrec.config.root import Config
from fedrec.errors import ConfigError

OWN_KEYS: Final = (
    "run.seed",
    "model.preset",
    "training.rounds",
    "training.learning_rate",
    "privacy.unit",
    "privacy.epsilon",
)
"""Settings that are keys of ``[tool.flwr.app.config]`` themselves, so that ``--run-config "training.rounds=5"`` works;
an empty text there leaves them as they are."""


def changes_of(run_config: Mapping[str, Any]) -> list[str]:
    """What a run-config changes of the settings, as ``section.key=value``. Raises ConfigError where it cannot be read.

    A key of its own goes before the same setting in ``set``.
    """
    try:
        changes = shlex.split(str(run_config.get("set", "")))
    except ValueError as error:
        action = "Write section.key=value pairs with blanks between them"
        raise ConfigError(f"run-config's set cannot be read: {error}", action=action) from None
    return changes + [f"{key}={run_config[key]}" for key in OWN_KEYS if run_config.get(key, "") != ""]


def config_of(run_config: Mapping[str, Any], root: Path) -> Config:
    """The settings that a run-config gives; ``root``: the app's folder. Raises ConfigError as `from_run_config`."""
    config = from_run_config(str(run_config.get("config", "")), root)
    changes = changes_of(run_config)
    # What was left out stays left out, so that a preset still fills it.
    return from_tree(with_overrides(config.model_dump(mode="json", exclude_unset=True), changes)) if changes else config
