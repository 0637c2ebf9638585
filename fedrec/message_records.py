"""Fields and arrays as the records of a Flower message, and back: one form for requests and for answers.

Flower moves a message as a tree of objects, each pushed and pulled by a request of its own, at the SuperLink and again
between a SuperNode and its app: six objects where one array stands in an ArrayRecord, and two more for each further
one.  A ConfigRecord is one object, whatever it holds.  So arrays that are small together travel in the record of the
fields, and a message is three objects; large ones travel as Flower's own arrays, which it moves in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from fedrec.errors import ProtocolError
from fedrec.queries.wire import ARRAYS, FIELDS, Part

SMALL: Final = 2**20
"""Bytes of all arrays of a message up to which they travel in the record of its fields.

Which form a message has follows from its size, and so tells no more than that."""
_RAW: Final = "fedrec.raw"
_DATA, _DTYPE, _SHAPE = "array.", "dtype.", "shape."


def to_records(fields: Mapping[str, str | int], parts: Mapping[str, Part]) -> RecordDict:
    """Write a message's content; the names of fields hold no full stop."""
    if not is_small(parts):
        arrays = {name: Array(part.dtype, part.shape, _RAW, part.data) for name, part in parts.items()}
        return RecordDict({FIELDS: ConfigRecord({**fields}), ARRAYS: ArrayRecord(arrays)})
    record = ConfigRecord({**fields})
    for name, part in parts.items():
        record[_DATA + name] = part.data
        record[_DTYPE + name] = part.dtype
        record[_SHAPE + name] = list(part.shape)
    return RecordDict({FIELDS: record})


def from_records(content: RecordDict) -> tuple[dict[str, Any], dict[str, Part]]:
    """Read what `to_records` wrote: the fields and the arrays.

    What fields there must be, and whether an array's size is its shape's, is for the reader of the message.

    Raises:
        ProtocolError: other records, half an array, or large arrays where small ones stand, or the reverse.
    """
    fields, arrays = content.get(FIELDS), content.get(ARRAYS)
    if not isinstance(fields, ConfigRecord) or not isinstance(arrays, ArrayRecord | None):
        raise ProtocolError("a message's records are not the agreed ones", value=sorted(content))
    if set(content) != ({FIELDS} if arrays is None else {FIELDS, ARRAYS}):
        raise ProtocolError("a message's records are not the agreed ones", value=sorted(content))
    if arrays is None:
        plain, parts = _apart(fields)
    else:
        plain = dict(fields)
        parts = {name: Part(array.dtype, tuple(array.shape), array.data) for name, array in arrays.items()}
    if is_small(parts) != (arrays is None):
        raise ProtocolError("a message's arrays do not travel as arrays of their size do", value=_size(parts))
    return plain, parts


def is_small(parts: Mapping[str, Part]) -> bool:
    """Whether these arrays travel in the record of the fields."""
    return _size(parts) <= SMALL


def _size(parts: Mapping[str, Part]) -> int:
    return sum(len(part.data) for part in parts.values())


def _apart(record: ConfigRecord) -> tuple[dict[str, Any], dict[str, Part]]:
    """The fields and the arrays of one record."""
    fields, parts = dict[str, Any](record), dict[str, Part]()
    for key in [name for name in record if name.startswith(_DATA)]:
        name = key.removeprefix(_DATA)
        data, dtype, shape = fields.pop(key), fields.pop(_DTYPE + name, None), fields.pop(_SHAPE + name, None)
        whole = isinstance(shape, list) and all(type(size) is int for size in shape)
        if not (isinstance(data, bytes) and isinstance(dtype, str) and whole):
            raise ProtocolError("an array of a message is not whole", value=name)
        parts[name] = Part(dtype, tuple(shape), data)
    return fields, parts
