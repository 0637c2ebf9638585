"""Reading the protocol's bytes strictly: every length is checked, nothing may be left over, one form per meaning."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from fedrec.errors import SumError
from fedrec.secagg.errors import Reason, RefusedError

VERSION = 2
HEADER_BYTES = 2


class Reader:
    """Takes fields from the front of some bytes. Every method raises RefusedError(MALFORMED) where they run out."""

    __slots__ = ("_at", "_data", "_what")

    def __init__(self, data: bytes, what: str) -> None:
        self._data, self._at, self._what = data, 0, what

    def header(self, kind: int) -> None:
        """The two bytes before every message: version and kind."""
        version = self.number(1)
        if version != VERSION:
            raise malformed(f"{self._what} has another version", version)
        found = self.number(1)
        if found != kind:
            raise malformed(f"{self._what} is another kind of message", found)

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        self._pass(length)
        return self._data[self._at - length : self._at]

    def part(self, length: int) -> memoryview:
        """The same without a copy."""
        self._pass(length)
        return memoryview(self._data)[self._at - length : self._at]

    def number(self, width: int) -> int:
        """A big-endian whole number of ``width`` bytes."""
        return int.from_bytes(self.take(width), "big")

    def prefixed(self, width: int) -> bytes:
        """Bytes after their length, which is a number of ``width`` bytes."""
        return self.take(self.number(width))

    def items(self, length: int, count: int) -> tuple[bytes, ...]:
        """``count`` items of ``length`` bytes each."""
        joined = self.take(length * count)
        return tuple(joined[at : at + length] for at in range(0, length * count, length)) if length else (b"",) * count

    def bitmap(self) -> frozenset[int]:
        """What `write_bitmap` wrote, as the set of its members (see `read_bitmap`)."""
        size = self.number(4)
        return read_bitmap(self.take(_bytes_for(size)), size, self._what)

    def bitmap_of(self, size: int) -> frozenset[int]:
        """The same, of ``size`` places and no other number: nothing larger is ever unpacked."""
        found = self.number(4)
        if found != size:
            raise malformed(f"{self._what} has a bitmap of another size", found)
        return read_bitmap(self.take(_bytes_for(size)), size, self._what)

    def _pass(self, length: int) -> None:
        if length < 0 or self._at + length > len(self._data):
            raise malformed(f"{self._what} is cut off", f"{len(self._data)} bytes")
        self._at += length

    def end(self) -> None:
        """Nothing may follow."""
        if self._at != len(self._data):
            raise malformed(f"{self._what} has bytes behind its end", len(self._data) - self._at)


def header(kind: int) -> bytes:
    """Version and kind, two bytes."""
    return bytes((VERSION, kind))


def kind_of(data: bytes) -> int:
    """The kind in a message's header, unchecked otherwise; -1 if it has none or is of another version."""
    return data[1] if len(data) >= HEADER_BYTES and data[0] == VERSION else -1


def number(value: int, width: int) -> bytes:
    """A big-endian whole number of ``width`` bytes. Raises SumError where it does not fit."""
    try:
        return value.to_bytes(width, "big")
    except OverflowError:
        raise SumError(f"a number does not fit {width} bytes", value=value) from None


def prefixed(data: bytes, width: int) -> bytes:
    """Bytes with their length before them."""
    return number(len(data), width) + data


def bitmap(members: Collection[int], size: int) -> bytes:
    """Which of ``size`` places are taken: bit ``i % 8`` of byte ``i // 8``, spare bits zero."""
    marks = np.zeros(size, dtype=np.uint8)
    marks[np.fromiter(members, dtype=np.int64, count=len(members))] = 1
    return np.packbits(marks, bitorder="little").tobytes()


def write_bitmap(members: Collection[int], size: int) -> bytes:
    """Size (4 bytes), then `bitmap`."""
    return number(size, 4) + bitmap(members, size)


def bitmap_bytes(size: int) -> int:
    """How many bytes `write_bitmap` takes for so many places."""
    return 4 + _bytes_for(size)


def _bytes_for(places: int) -> int:
    return (places + 7) // 8


def read_bitmap(bits: bytes, size: int, what: str) -> frozenset[int]:
    """The places that `bitmap` marked. Raises RefusedError(MALFORMED) on a wrong length or a spare bit that is set."""
    if len(bits) != _bytes_for(size) or (size % 8 and bits[-1] >> (size % 8)):
        raise malformed(f"{what} has a malformed bitmap", f"{len(bits)} bytes for {size}")
    marks = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size, bitorder="little")
    return frozenset(np.flatnonzero(marks).tolist())


def malformed(what: str, value: object) -> RefusedError:
    """The error of this module."""
    return RefusedError(Reason.MALFORMED, what, value=value, action="Check that both sides run the same version")
