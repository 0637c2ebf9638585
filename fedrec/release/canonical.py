"""JSON of one form only: sorted keys, no spaces, no NaN, UTF-8. Equal values give equal bytes, fit to be signed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from fedrec.errors import ReleaseError

_BETWEEN: Final = '","'


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
    if not isinstance(value, dict) or (_of_plain_lists(value) != data and encode(value, what=what) != data):
        raise ReleaseError(f"{what} is not in canonical form", action="Take a fresh copy of the release")
    return value


def _of_plain_lists(value: dict[str, Any]) -> bytes | None:
    """Canonical bytes of lists of texts without a character that JSON escapes, such as a catalogue's names, a quarter
    of whose reading it would be to encode them; None, or other bytes than those it was read from, of anything else.

    Joined as it is, a text with such a character is shorter than any way to write it, and nothing else here can be
    written shorter than it is joined: so equal bytes say that there is none.
    """
    try:
        parts = [f'"{name}":["{_BETWEEN.join(texts)}"]' for name, texts in sorted(value.items()) if type(texts) is list]
        return f"{{{','.join(parts)}}}".encode() if len(parts) == len(value) else None
    except (TypeError, ValueError):  # a list of something else; a lone surrogate
        return None
