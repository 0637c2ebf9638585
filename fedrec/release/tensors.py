"""The header of a safetensors file, held to the file's size before anything is allocated for the arrays in it.

    8 bytes: length of the header, little endian; the header, JSON: name -> dtype, shape, data_offsets; the data

Format: https://huggingface.co/docs/safetensors. Every array's shape times the size of its dtype must be its span of the
data, and the spans must be the data, without a gap and without an overlap: then no file unpacks to more than itself.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

from fedrec.errors import ReleaseError

LARGEST_HEADER: Final = 4 << 20
_LENGTH: Final = 8
_LARGEST_SIDE: Final = 1 << 40
_ITEM_SIZES: Final = {"F16": 2, "F32": 4, "F64": 8, "I32": 4, "I64": 8, "U8": 1, "BOOL": 1}
_RENEW: Final = "Take a fresh copy of the release"


def check_header(data: bytes, file: str) -> None:
    """Raise ReleaseError unless the bytes are arrays of kinds that releases store, and of just these sizes."""
    length = int.from_bytes(data[:_LENGTH], "little")
    if len(data) < _LENGTH or length > min(LARGEST_HEADER, len(data) - _LENGTH):
        raise _none(file)
    try:
        header = json.loads(data[_LENGTH : _LENGTH + length])
        spans = sorted(_span(file, facts) for name, facts in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _none(file) from None
    end = 0
    for first, last in spans:
        if first != end:
            raise ReleaseError(f"{file}: arrays overlap, or there is a gap between them", value=first, action=_RENEW)
        end = last
    if end != len(data) - _LENGTH - length:
        raise ReleaseError(f"{file} is not as large as its arrays are", value=end, action=_RENEW)


def _span(file: str, facts: dict[str, Any]) -> tuple[int, int]:
    """Where an array's data begin and end."""
    shape, (first, last) = facts["shape"], facts["data_offsets"]
    if not all(type(side) is int and 0 <= side <= _LARGEST_SIDE for side in (*shape, first, last)) or first > last:
        raise _none(file)
    size = _ITEM_SIZES.get(facts["dtype"])
    if size is None:
        kind = str(facts["dtype"])
        raise ReleaseError(f"{file} holds arrays of an unknown kind", value=kind, action="Update fedrec")
    if math.prod(shape) * size != last - first:
        raise ReleaseError(f"{file}: the shape of an array is not that of its data", value=shape, action=_RENEW)
    return first, last


def _none(file: str) -> ReleaseError:
    return ReleaseError(f"{file} is not a file of arrays", action=_RENEW)
