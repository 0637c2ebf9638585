"""The header of a safetensors file, held to the file's size before anything is allocated for the arrays in it.

    8 bytes: length of the header, little endian; the header, JSON: name -> dtype, shape, data_offsets; the data

Format: https://huggingface.co/docs/safetensors. Every array's shape times the size of its dtype must be its span of the
data, and the spans must be the data, without a gap and without an overlap: then no file unpacks to more than itself.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fedrec.errors import ReleaseError

LARGEST_HEADER: Final = 4 << 20
_LENGTH: Final = 8
_LARGEST_SIDE: Final = 1 << 40
_KINDS: Final[dict[str, DTypeLike]] = {
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "BOOL": "?",
}
_RENEW: Final = "Take a fresh copy of the release"


def arrays_of(data: bytes, file: str) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file, read-only, where they lie in ``data``: nothing is copied.

    Raises:
        ReleaseError: as `check_header`.
    """
    begin = _LENGTH + int.from_bytes(data[:_LENGTH], "little")
    return {
        name: np.frombuffer(
            data, _KINDS[facts["dtype"]], math.prod(facts["shape"]), begin + facts["data_offsets"][0]
        ).reshape(facts["shape"])
        for name, facts in check_header(data, file).items()
    }


def check_header(data: bytes, file: str) -> dict[str, dict[str, Any]]:
    """The header: name -> ``dtype``, ``shape``, ``data_offsets``.

    Raises:
        ReleaseError: the bytes are not arrays of kinds that releases store, and of just these sizes.
    """
    length = int.from_bytes(data[:_LENGTH], "little")
    if len(data) < _LENGTH or length > min(LARGEST_HEADER, len(data) - _LENGTH):
        raise _none(file)
    try:
        header = json.loads(data[_LENGTH : _LENGTH + length])
        header.pop("__metadata__", None)
        spans = sorted(_span(file, facts) for facts in header.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _none(file) from None
    end = 0
    for first, last in spans:
        if first != end:
            raise ReleaseError(f"{file}: arrays overlap, or there is a gap between them", value=first, action=_RENEW)
        end = last
    if end != len(data) - _LENGTH - length:
        raise ReleaseError(f"{file} is not as large as its arrays are", value=end, action=_RENEW)
    return dict(header)


def _span(file: str, facts: dict[str, Any]) -> tuple[int, int]:
    """Where an array's data begin and end."""
    shape, (first, last) = facts["shape"], facts["data_offsets"]
    if not all(type(side) is int and 0 <= side <= _LARGEST_SIDE for side in (*shape, first, last)) or first > last:
        raise _none(file)
    if facts["dtype"] not in _KINDS:
        kind = str(facts["dtype"])
        raise ReleaseError(f"{file} holds arrays of an unknown kind", value=kind, action="Update fedrec")
    if math.prod(shape) * np.dtype(_KINDS[facts["dtype"]]).itemsize != last - first:
        raise ReleaseError(f"{file}: the shape of an array is not that of its data", value=shape, action=_RENEW)
    return first, last


def _none(file: str) -> ReleaseError:
    return ReleaseError(f"{file} is not a file of arrays", action=_RENEW)
