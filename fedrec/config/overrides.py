"""Settings given one by one, as ``section.key=value``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from fedrec.errors import ConfigError


def with_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Put ``section.key=value`` overrides into a nested mapping; returns it. Raises ConfigError on a malformed one."""
    for override in overrides:
        _override(tree, override)
    return tree


def _override(tree: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError("an override must look like section.key=value", value=override, action="Write it so")
    _put(tree, key.strip(), _parsed(text.strip()))


def _parsed(text: str) -> Any:
    """JSON where it is JSON (numbers, lists, true, null), else the text itself."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _put(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, leaf = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise ConfigError("a setting is used as a section", value=key, action=f"Set {parent} itself, or drop it")
    tree[leaf] = value
