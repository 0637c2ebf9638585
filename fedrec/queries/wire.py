"""What travels, whatever carries it: a request down, a share up, as named fields and arrays of plain bytes.

A shell packs these into its transport's records one to one and adds nothing.  An answer has no field that depends on
who sends it, but for the share's content; its size follows from the request alone.  Arrays are raw little-endian
bytes with a type out of a short list, so reading one parses nothing and allocates no more than arrived.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import ProtocolError, SumError
from fedrec.queries.private_sum import PrivateSum
from fedrec.queries.request import Request

ACTION: Final = "private_sum"
FIELDS: Final = "fields"
ARRAYS: Final = "arrays"
FORMAT: Final = 1
SHARE: Final = "share"
# All that a device ever says in place of a share. Neither tells what the device holds.
REFUSED: Final = (101, "the device refuses the request")
FAILED: Final = (102, "the device cannot answer")

_ANSWER: Final[Mapping[str, str | int]] = {"format": FORMAT, "protocol": "none"}
_TYPES: Final = ("float16", "float32", "int32", "int64")
_SAME_VERSION: Final = "Check that both sides run the same version"


@dataclass(frozen=True)
class Part:
    """An array as it travels. ``dtype``: its name; ``data``: C order, little-endian."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @classmethod
    def of(cls, array: NDArray[Any]) -> Part:
        """Write an array. Raises ProtocolError for a type that no request has."""
        if array.dtype.name not in _TYPES:
            raise ProtocolError("an array of this type does not travel", value=array.dtype.name)
        return cls(array.dtype.name, array.shape, array.astype(array.dtype.newbyteorder("<")).tobytes())

    def array(self) -> NDArray[Any]:
        """Read it. Raises ProtocolError where type, shape and size do not fit each other."""
        if self.dtype not in _TYPES:
            raise ProtocolError("an array of a type that no request has", value=self.dtype, action=_SAME_VERSION)
        dtype = np.dtype(self.dtype)
        if min(self.shape, default=1) < 0 or len(self.data) != math.prod(self.shape) * dtype.itemsize:
            raise ProtocolError("an array's size is not its shape's", value=(self.dtype, self.shape, len(self.data)))
        return np.frombuffer(self.data, dtype.newbyteorder("<")).astype(dtype).reshape(self.shape)


@dataclass(frozen=True)
class Envelope:
    """A request on its way to a cohort, the same for every device of it.

    ``session``: a random text that the server draws each time it starts, since a server that was cut off in mid-round
    must ask that round again.  ``catalogue``: digest of the features that item places refer to.
    """

    request: Request
    session: str
    catalogue: str

    def fields(self) -> dict[str, str]:
        """Everything but the arrays."""
        return {"request": self.request.header(), "session": self.session, "catalogue": self.catalogue}

    def parts(self) -> dict[str, Part]:
        """The arrays, in a fixed order."""
        return {name: Part.of(array) for name, array in sorted(self.request.arrays.items())}

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of all that is asked, fields and arrays: what a secure sum is bound to."""
        digest = hashlib.sha256(b"fedrec question")
        for name, text in sorted(self.fields().items()):
            _absorb(digest, name.encode(), text.encode("utf-8", "surrogatepass"))
        for name, part in self.parts().items():
            _absorb(digest, name.encode(), part.dtype.encode(), repr(part.shape).encode(), part.data)
        return digest.digest()

    @classmethod
    def read(cls, fields: Mapping[str, Any], parts: Mapping[str, Part]) -> Envelope:
        """The inverse, strict. Raises ProtocolError for anything that `fields` and `parts` would not have written."""
        if set(fields) != {"request", "session", "catalogue"} or not all(isinstance(f, str) for f in fields.values()):
            raise ProtocolError("a request's fields are not the agreed ones", action=_SAME_VERSION)
        arrays = {name: part.array() for name, part in parts.items()}
        try:
            request = Request.from_parts(fields["request"], arrays)
        except SumError as error:
            raise ProtocolError(f"a request's sum makes no sense: {error.what}", value=error.value) from None
        return cls(request, fields["session"], fields["catalogue"])


def _absorb(digest: hashlib._Hash, *pieces: bytes) -> None:
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little") + piece)


def answer_fields() -> dict[str, str | int]:
    """The fields of every answer: constants of the protocol."""
    return dict(_ANSWER)


def answer_parts(share: bytes) -> dict[str, Part]:
    """The arrays of an answer: the encoded contribution, nothing else."""
    return {SHARE: Part("uint8", (len(share),), share)}


def read_share(fields: Mapping[str, Any], parts: Mapping[str, Part], agreed: PrivateSum) -> bytes:
    """The encoded contribution of an answer, of exactly the agreed size.

    Raises:
        ProtocolError: a field or array too many or too few, or another size. What is inside is not shown.
    """
    if dict(fields) != _ANSWER or set(parts) != {SHARE}:
        raise ProtocolError("an answer is not of the agreed form", action=_SAME_VERSION)
    share = parts[SHARE]
    if (share.dtype, share.shape, len(share.data)) != ("uint8", (agreed.bytes_up,), agreed.bytes_up):
        raise ProtocolError("a share has the wrong size", value=(share.dtype, share.shape, len(share.data)))
    return share.data
