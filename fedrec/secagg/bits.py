"""Ring elements on the wire in exactly their number of bits, without gaps.

Bit b of element i is bit (i * bits + b) of the stream, and bit k of the stream is bit k mod 8 of byte k div 8: least
significant first throughout.  Elements are merged in pairs into numbers of up to 64 bits, and these into records of two
numbers where those fill whole bytes, into groups of 64-bit words where they do not.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.secagg.ring import MOST_BITS

_WORD = 64
# Elements handled at a time: enough to keep numpy's loops long, few enough that temporary arrays are used again.
_CHUNK = 1 << 15


def packed_bytes(n: int, bits: int) -> int:
    """Bytes that n elements take: n * bits / 8, rounded up."""
    return (n * bits + 7) // 8


class _Plan(NamedTuple):
    """``paired``: how many neighbouring elements are merged into one number of ``width`` bits, at most 64.

    ``group``: numbers that fill whole words, or 2 where that many fill whole bytes; ``taken``: elements, ``size``:
    bytes of a group.  ``record``: how a group of two is stored, `None` where words are.
    """

    paired: int
    width: int
    group: int
    taken: int
    size: int
    record: np.dtype[Any] | None


def pack(elements: NDArray[Any], bits: int) -> bytes:
    """The wire form of a vector of elements, `packed_bytes` long; bits beyond the last element are zero.

    ``elements``: uint32 or uint64 [n], each below 2^bits; ``bits``: 1 to 62.

    Raises:
        SumError: bits is out of range, the vector has another form, or an element is 2^bits or more.
    """
    _check_bits(bits)
    if elements.ndim != 1 or elements.dtype not in (np.uint32, np.uint64):
        raise SumError("unsigned elements are packed", value=(elements.shape, str(elements.dtype)))
    if elements.size and int(elements.max()) >> bits:
        raise SumError(f"an element does not fit {bits} bits", action="Reduce it modulo 2^bits before")
    out = np.empty(packed_bytes(len(elements), bits), dtype=np.uint8)
    pack_into(elements, bits, out)
    return out.tobytes()


def pack_into(elements: NDArray[Any], bits: int, out: NDArray[np.uint8]) -> None:
    """`pack` into ``out``, uint8 [`packed_bytes`], for elements that are known to be of the right form."""
    plan = _plan(bits)
    whole = len(elements) // plan.taken
    step = max(1, _CHUNK // plan.taken)
    for start in range(0, whole, step):
        end = min(start + step, whole)
        _store(elements[start * plan.taken : end * plan.taken], bits, plan, out[start * plan.size : end * plan.size])
    if rest := len(elements) - whole * plan.taken:
        last, stored = np.zeros(plan.taken, dtype=elements.dtype), np.empty(plan.size, dtype=np.uint8)
        last[:rest] = elements[whole * plan.taken :]
        _store(last, bits, plan, stored)
        out[whole * plan.size :] = stored[: len(out) - whole * plan.size]


def unpack(data: bytes | memoryview, n: int, bits: int) -> NDArray[Any]:
    """Read `pack`'s form back: uint32 [n] where bits <= 32, uint64 [n] beyond.

    Raises:
        SumError: bits is out of range, the data is not exactly n elements long, or a bit behind them is set.
    """
    _check_bits(bits)
    if n < 0 or len(data) != packed_bytes(n, bits):
        raise SumError(f"{n} elements of {bits} bits have another length", value=f"{len(data)} bytes")
    spare = 8 * len(data) - n * bits
    if spare and data[-1] >> (8 - spare):
        raise SumError("packed elements end in bits that are set", action="Ask for them again")
    plan = _plan(bits)
    whole, rest = divmod(n, plan.taken)
    raw = np.frombuffer(data, dtype=np.uint8)
    out = np.empty(n, dtype=np.uint32 if bits <= 32 else np.uint64)
    step = max(1, _CHUNK // plan.taken)
    for start in range(0, whole, step):
        end = min(start + step, whole)
        _load(raw[start * plan.size : end * plan.size], bits, plan, out[start * plan.taken : end * plan.taken])
    if rest:
        stored, last = np.zeros(plan.size, dtype=np.uint8), np.empty(plan.taken, dtype=out.dtype)
        stored[: len(raw) - whole * plan.size] = raw[whole * plan.size :]
        _load(stored, bits, plan, last)
        out[whole * plan.taken :] = last[:rest]
    return out


@cache
def _plan(bits: int) -> _Plan:
    paired = 1
    while 2 * paired * bits <= _WORD:
        paired *= 2
    width = paired * bits
    if _WORD // 2 < width < _WORD and 2 * width % 8 == 0:
        return _Plan(paired, width, 2, 2 * paired, width // 4, _record(width // 4))
    group = _WORD // gcd(width, _WORD)
    return _Plan(paired, width, group, group * paired, group * width // 8, None)


def _record(size: int) -> np.dtype[Any]:
    """A word, and what is behind it in the largest pieces that there are types for."""
    fields, at = [("word", "<u8")], 8
    for piece in (8, 4, 2, 1):
        if at + piece <= size:
            fields.append((f"behind{at}", f"<u{piece}"))
            at += piece
    return np.dtype(fields)


def _store(elements: NDArray[Any], bits: int, plan: _Plan, out: NDArray[np.uint8]) -> None:
    """Whole groups of elements, as bytes."""
    numbers = _merge(elements, bits, plan.paired)
    if plan.record is None:
        _into_words(numbers, plan.width, plan.group, out.view("<u8").reshape(-1, plan.size // 8))
        return
    records, (even, odd) = out.view(plan.record), (numbers[0::2], numbers[1::2])
    word = odd << np.uint64(plan.width)  # What does not fit goes behind it.
    word |= even
    records["word"] = word
    for name, shift in _behind(plan.record):
        # Narrower types take the low bits.
        records[name] = odd >> np.uint64(_WORD - plan.width + shift)


def _load(raw: NDArray[np.uint8], bits: int, plan: _Plan, out: NDArray[Any]) -> None:
    """The inverse."""
    if plan.record is None:
        numbers = _from_words(raw.view("<u8").reshape(-1, plan.size // 8), plan.width, plan.group)
    else:
        records = raw.view(plan.record)
        numbers = np.empty(2 * len(records), dtype=np.uint64)
        word = records["word"]
        np.bitwise_and(word, np.uint64((1 << plan.width) - 1), out=numbers[0::2])
        odd = word >> np.uint64(plan.width)
        for name, shift in _behind(plan.record):
            part = records[name].astype(np.uint64)
            part <<= np.uint64(_WORD - plan.width + shift)
            odd |= part
        numbers[1::2] = odd
    _separate(numbers, bits, plan.paired, out)


def _behind(record: np.dtype[Any]) -> list[tuple[str, int]]:
    """The pieces behind a record's word, and how many bits of what is behind it come before each."""
    return [(name, 8 * at - _WORD) for name, (_, at, *_) in (record.fields or {}).items() if at]


def _merge(elements: NDArray[Any], bits: int, paired: int) -> NDArray[np.uint64]:
    width = bits
    if paired > 1 and elements.dtype == np.uint32:
        # Two neighbours already lie in one word: the upper one only has to move down.
        both = np.ascontiguousarray(elements, dtype="<u4").view("<u8")
        merged: NDArray[np.uint64] = both >> np.uint64(32)
        merged <<= np.uint64(bits)
        merged |= both & np.uint64(0xFFFFFFFF)
        width, paired = 2 * bits, paired // 2
    else:
        merged = elements.astype(np.uint64)
    while paired > 1:
        upper = merged[1::2] << np.uint64(width)
        upper |= merged[0::2]
        merged, width, paired = upper, 2 * width, paired // 2
    return merged


def _separate(merged: NDArray[np.uint64], bits: int, paired: int, out: NDArray[Any]) -> None:
    while paired > 1:
        paired //= 2
        width = paired * bits
        upper, lower = merged >> np.uint64(width), merged & np.uint64((1 << width) - 1)
        if paired == 1 and out.dtype == np.uint32:
            upper <<= np.uint64(32)
            upper |= lower
            out[:] = upper.astype("<u8", copy=False).view("<u4")
            return
        merged = np.stack((lower, upper), axis=1).reshape(-1)
    out[:] = merged


def _into_words(numbers: NDArray[np.uint64], width: int, group: int, out: NDArray[np.uint64]) -> None:
    # Turned round, so that the numbers of one place in every group lie side by side.
    columns = np.ascontiguousarray(numbers.reshape(-1, group).T)
    words = np.zeros((out.shape[1], out.shape[0]), dtype=np.uint64)
    for at, column in enumerate(columns):
        word, shift = divmod(at * width, _WORD)
        if shift + width > _WORD:
            words[word + 1] |= column >> np.uint64(_WORD - shift)
        column <<= np.uint64(shift)
        words[word] |= column
    out[:] = words.T


def _from_words(words: NDArray[np.uint64], width: int, group: int) -> NDArray[np.uint64]:
    columns = np.ascontiguousarray(words.T)
    numbers = np.empty((group, len(words)), dtype=np.uint64)
    mask = np.uint64((1 << width) - 1)
    for at, out in enumerate(numbers):
        word, shift = divmod(at * width, _WORD)
        number = columns[word] >> np.uint64(shift)
        if shift + width > _WORD:
            number |= columns[word + 1] << np.uint64(_WORD - shift)
        np.bitwise_and(number, mask, out=out)
    return np.ascontiguousarray(numbers.T).reshape(-1)


def _check_bits(bits: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= MOST_BITS:
        raise SumError(f"elements have 1 to {MOST_BITS} bits", value=bits)
