"""Ring elements on the wire in exactly their number of bits, without gaps.

Bit b of element i is bit (i * bits + b) of the stream, and bit k of the stream is bit k mod 8 of byte k div 8: least
significant first throughout.  Elements are merged in pairs, then into 64-bit words, group by group.
"""

from __future__ import annotations

from math import gcd
from typing import Any

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
    paired, width = _plan(bits)
    group, words = _group(width)
    taken = group * paired
    whole, rest = divmod(len(elements), taken)
    out = np.zeros((whole + (rest > 0), words), dtype="<u8")
    step = max(1, _CHUNK // taken)
    for start in range(0, whole, step):
        end = min(start + step, whole)
        _into_words(_merge(elements[start * taken : end * taken], bits, paired), width, out[start:end])
    if rest:
        last = np.zeros(taken, dtype=elements.dtype)
        last[:rest] = elements[whole * taken :]
        _into_words(_merge(last, bits, paired), width, out[whole:])
    return out.view(np.uint8).reshape(-1)[: packed_bytes(len(elements), bits)].tobytes()


def unpack(data: bytes, n: int, bits: int) -> NDArray[Any]:
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
    paired, width = _plan(bits)
    group, words = _group(width)
    groups = (n + group * paired - 1) // (group * paired)
    raw = np.frombuffer(data.ljust(groups * words * 8, b"\0"), dtype="<u8").reshape(groups, words)
    out = np.empty(groups * group * paired, dtype=np.uint32 if bits <= 32 else np.uint64)
    step = max(1, _CHUNK // (group * paired))
    for start in range(0, groups, step):
        merged = _from_words(raw[start : start + step], width, group)
        _separate(merged, bits, paired, out[start * group * paired : (start + step) * group * paired])
    return out[:n]


def _plan(bits: int) -> tuple[int, int]:
    """How many neighbouring elements are merged into one number, and its width; at most 64 bits."""
    paired = 1
    while 2 * paired * bits <= _WORD:
        paired *= 2
    return paired, paired * bits


def _group(width: int) -> tuple[int, int]:
    """The fewest numbers of this width that fill whole words, and how many words."""
    common = gcd(width, _WORD)
    return _WORD // common, width // common


def _merge(elements: NDArray[Any], bits: int, paired: int) -> NDArray[np.uint64]:
    merged = elements[0::paired].astype(np.uint64)
    for at in range(1, paired):
        part = elements[at::paired].astype(np.uint64)
        part <<= np.uint64(at * bits)
        merged |= part
    return merged


def _separate(merged: NDArray[np.uint64], bits: int, paired: int, out: NDArray[Any]) -> None:
    mask = np.uint64((1 << bits) - 1)
    for at in range(paired):
        out[at::paired] = (merged >> np.uint64(at * bits)) & mask


def _into_words(numbers: NDArray[np.uint64], width: int, out: NDArray[np.uint64]) -> None:
    # Turned round, so that the numbers of one place in every group lie side by side.
    columns = np.ascontiguousarray(numbers.reshape(len(out), -1).T)
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
