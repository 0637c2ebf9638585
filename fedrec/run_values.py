"""Values of a run's record, which may lack them or be of another version."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from fedrec.console import DASH


def finite(value: Any) -> float | None:
    """The value as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def table(value: Any) -> Mapping[str, Any]:
    """The value if it is a table, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and numbers of a tree (None is one that does not apply), in its order; other values are left out."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    elif value is None or isinstance(value, int | float):
        yield prefix, value


def dotted(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names of a tree and their values as text, in its order."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value)) or DASH
        else:
            yield f"{prefix}{key}", _shown(value)


def _shown(value: Any) -> str:
    if value is None:
        return DASH
    # Settings that were reckoned have digits that nobody reads.
    return f"{value:.6g}" if isinstance(value, float) and len(repr(value)) > 8 else str(value)
