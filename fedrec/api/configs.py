"""Settings in whatever form the caller has them: a `Config`, the name of a preset or of a config, or a TOML file."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from fedrec.config import Config, from_tree, load, with_overrides
from fedrec.config.load import read_tree
from fedrec.config.presets import PRESETS
from fedrec.config.shipped import shipped_configs
from fedrec.errors import ConfigError

ConfigSource: TypeAlias = "Config | str | os.PathLike[str]"
Overrides: TypeAlias = "Mapping[str, Any] | Sequence[str]"


def presets() -> dict[str, str]:
    """The presets by name, each with a line that says what it is."""
    return {name: PRESETS[name].summary for name in PRESETS.names()}


def load_config(path: str | os.PathLike[str], overrides: Overrides = ()) -> Config:
    """Read the settings of a TOML file.

    Args:
        path: the file; `fedrec config show` and `fedrec config schema` say what can be in one.
        overrides: settings to change: ``{"training.rounds": 5, "privacy.epsilon": 8}``, or as on the command line
            ``["training.rounds=5"]``.

    Raises:
        ConfigError: the file is missing or not TOML, a key is unknown, or a value is out of range; names the field.
    """
    return load(Path(path), override_texts(overrides))


def config_of(source: ConfigSource, overrides: Overrides = ()) -> Config:
    """The settings that are meant.

    Args:
        source: a `Config`, the name of a preset (`presets`) or of a config that comes with fedrec (``fedrec config
            list``), or the path of a TOML file.
        overrides: settings to change: ``{"training.rounds": 5, "privacy.epsilon": 8}``, where a value that is a mapping
            under a section's name changes the keys in it; or, as on the command line, ``["training.rounds=5"]``.

    Raises:
        ConfigError: there is no such preset or file, a key is unknown, or a value is out of range; names the field.
    """
    if isinstance(source, Config):
        return _changed(source, overrides)
    if isinstance(source, str) and source in PRESETS:
        return _changed(from_tree(tree_of(source)), overrides)
    return load_config(config_path(source), overrides)


def tree_of(source: str) -> dict[str, Any]:
    """What a preset's name, a config's name or a TOML file says, as sections of keys not yet checked.

    Raises:
        ConfigError: there is no such preset or file, or it is not TOML.
    """
    if source in PRESETS:
        return {"run": {"name": source}, "model": {"preset": source}}
    return read_tree(config_path(source))


def config_path(source: str | os.PathLike[str]) -> Path:
    """The TOML file that is meant by its path, or by the name of a config that comes with fedrec.

    Raises:
        ConfigError: there is no such file, and nothing of this name; says what was perhaps meant.
    """
    path = Path(source)
    if path.suffix == ".toml" or path.is_file() or not isinstance(source, str):
        return path
    shipped = shipped_configs()
    if source in shipped:
        return shipped[source]
    close = difflib.get_close_matches(source, [*PRESETS.names(), *shipped], n=1)
    raise ConfigError(
        "this is neither a preset nor a config, by name or by path",
        value=source,
        action=f"Did you mean {close[0]!r}?" if close else f"Presets are {', '.join(PRESETS.names())}",
    )


def override_texts(overrides: Overrides) -> list[str]:
    """Overrides as the command line has them, ``section.key=value``. Raises ConfigError for what cannot be one."""
    if isinstance(overrides, str):
        raise ConfigError("overrides are a list or a mapping", value=overrides, action=f"Write [{overrides!r}]")
    if not isinstance(overrides, Mapping):
        return list(overrides)
    settings: dict[str, Any] = {}
    for key, value in overrides.items():
        if key in Config.model_fields and isinstance(value, Mapping):
            settings |= {f"{key}.{inner}": setting for inner, setting in value.items()}
        else:
            settings[key] = value
    return [f"{key}={_text(key, value)}" for key, value in settings.items()]


def _changed(config: Config, overrides: Overrides) -> Config:
    if not overrides:
        return config
    # Only what was written: a preset goes beneath that, and would lose to every default that is written out.
    return from_tree(with_overrides(config.model_dump(exclude_unset=True), override_texts(overrides)))


def _text(key: str, value: Any) -> str:
    try:
        return json.dumps(value, default=_simple)
    except (TypeError, ValueError):
        raise ConfigError(f"{key}: no value that a setting can have", value=value) from None


def _simple(value: Any) -> Any:
    """Numbers of numpy as Python's, paths as text; the rest is refused."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError
