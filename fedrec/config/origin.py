"""What a config comes to, key by key, and where each value is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fedrec.config.base import Settings, written_keys
from fedrec.config.load import from_tree
from fedrec.config.overrides import with_overrides
from fedrec.config.presets import preset_of, with_preset
from fedrec.config.root import Config

Origin = Literal["default", "preset", "file", "set"]


@dataclass(frozen=True)
class Effective:
    """One setting of a run.

    ``key``: with dots.  ``value``: as JSON can hold it.  ``origin``: a default, what the preset says, what the file
    says, or what was set over it on the command line.  ``description``: what the setting does, with its unit.
    """

    key: str
    value: Any
    origin: Origin
    description: str


def effective(tree: Mapping[str, Any], overrides: Sequence[str] = ()) -> tuple[Config, list[Effective]]:
    """The settings that a run of a config file has, its preset applied.

    Args:
        tree: what the file says, as `fedrec.config.load.read_tree` gives it; empty where there is no file.
        overrides: ``section.key=value``, one by one.

    Raises:
        ConfigError: a key is unknown, a value out of range, or the preset and what was written do not go together.
    """
    set_over = with_overrides({}, overrides)
    config = with_preset(from_tree(with_overrides(_copied(tree), overrides)))
    sources: list[tuple[Origin, frozenset[str]]] = [
        ("set", frozenset(written_keys(set_over, Config))),
        ("file", frozenset(written_keys(tree, Config))),
        ("preset", frozenset(written_keys(preset_of(config).settings, Config))),
    ]
    return config, [
        Effective(key, value, _origin(key, sources), description) for key, value, description in _settings(config)
    ]


def _origin(key: str, sources: Sequence[tuple[Origin, frozenset[str]]]) -> Origin:
    """The first source that sets the key, or a part of it: an entry of a table."""
    for origin, keys in sources:
        if any(one == key or one.startswith(f"{key}.") for one in keys):
            return origin
    return "default"


def _settings(section: Settings, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Settings):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value, field.description or ""


def _copied(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _copied(value) if isinstance(value, Mapping) else value for name, value in tree.items()}
