"""JSON of one form only: sorted keys, no spaces, no NaN, UTF-8. Equal values give equal bytes, fit to be signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fedrec.errors import ReleaseError


def encode(value: Mapping[str, Any], *, what: str) -> bytes:
    """Canonical bytes of a JSON object. Raises ReleaseError where a value is not JSON (a NaN, a path, an array)."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ReleaseError(
            f"{what} is not JSON: {error}", action="Use text, finite numbers, lists and tables"
        ) from None


def decode(data: bytes, *, what: str) -> dict[str, Any]:
    """The inverse of `encode`. Raises ReleaseError on anything else than the canonical bytes of a JSON object."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise ReleaseError(f"{what} is not JSON", action="Take a fresh copy of the release") from None
    if not isinstance(value, dict) or encode(value, what=what) != data:
        raise ReleaseError(f"{what} is not in canonical form", action="Take a fresh copy of the release")
    return value
