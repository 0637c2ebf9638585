"""Masks: key streams added to a vector of ring elements, which cancel when both neighbours' vectors are added.

A mask is the AES-256-CTR stream of a key that is used for nothing else, cut into little-endian words of 32 bits (64 in
a wide ring) and reduced modulo 2^bits.  The stream is made and added in blocks that stay in the processor's cache, and
both steps let other threads run.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from numpy.typing import NDArray

from fedrec.errors import SumError
from fedrec.secagg import bits
from fedrec.secagg.ring import Ring
from fedrec.thread_settings import threads_here

KEY_BYTES = 32
BLOCK_BYTES = 1 << 17
_ZEROS = memoryview(bytes(BLOCK_BYTES))
_KEYS_AT_ONCE = 64
_WORTH_A_THREAD = 1 << 22  # bytes of key stream: a millisecond's work
_CUT = 1 << 12  # elements: ranges of a vector begin at multiples of it

Words = NDArray[np.unsignedinteger[Any]]
SignedKey = tuple[bytes, int]


def word_type(ring: Ring) -> type[np.unsignedinteger[Any]]:
    """The array type that a ring's masked elements are kept in: uint32 up to 32 bits, uint64 beyond."""
    return np.uint32 if ring.bits <= 32 else np.uint64


@cache
def most_workers() -> int:
    """Threads of a device's masks and signatures: two, where its process computes with as many."""
    return min(2, threads_here())


def add_masks(total: Words, keys: Sequence[SignedKey], ring: Ring, workers: int = 1) -> None:
    """Add the mask of every key, times its sign, to ``total`` in place, modulo 2^bits.

    Args:
        total: one-dimensional, contiguous, of `word_type(ring)`; any values, all below 2^bits afterwards.
        keys: 32-byte keys, each with sign +1 or -1.  The one neighbour adds what the other subtracts.
        ring: which ring.
        workers: most threads; a vector of the same size is allocated for each but the first.

    Raises:
        SumError: the vector's form, a key or a sign is not as above.
    """
    _check(total, keys, ring)
    workers = min(workers, len(keys), len(keys) * total.nbytes // _WORTH_A_THREAD)
    if workers <= 1:
        _add(total, keys)
    else:
        parts = [total] + [np.zeros_like(total) for _ in range(workers - 1)]
        with ThreadPoolExecutor(workers) as pool:
            jobs = [pool.submit(_add, part, keys[at::workers]) for at, part in enumerate(parts)]
        for job in jobs:
            job.result()
        for part in parts[1:]:
            np.add(total, part, out=total)
    np.bitwise_and(total, total.dtype.type(ring.modulus - 1), out=total)


def mask_packed(elements: NDArray[np.uint64], keys: Sequence[SignedKey], ring: Ring, workers: int = 1) -> memoryview:
    """The elements with the mask of every key, times its sign, added modulo 2^bits: as `bits.pack` writes them.

    Made block by block, so that nothing of the vector's size is allocated but what is returned.

    Args:
        elements: uint64 [n], each below 2^bits.
        keys: 32-byte keys, each with sign +1 or -1.
        ring: which ring.
        workers: most threads; each takes a range of the vector.

    Raises:
        SumError: a key or a sign is not as above, an element is beyond the ring, or the vector of another form.
    """
    if elements.ndim != 1 or elements.dtype != np.uint64:
        raise SumError("ring elements must be a uint64 vector", value=(elements.shape, str(elements.dtype)))
    if elements.size and int(elements.max()) >> ring.bits:
        raise SumError("an element does not fit the agreed ring", value=int(elements.max()))
    _check_keys(keys)
    out = np.empty(bits.packed_bytes(len(elements), ring.bits), dtype=np.uint8)
    # A multiple of 8 elements begins on a byte whatever their width, and on a block of the cipher.
    pieces = -(-len(elements) // _CUT)
    workers = max(1, min(workers, pieces, len(keys) * len(elements) * 4 // _WORTH_A_THREAD))
    cuts = [pieces * at // workers * _CUT for at in range(workers)] + [len(elements)]
    ranges = list(pairwise(cuts))
    if workers == 1:
        _mask_range(elements, keys, ring, out, *ranges[0])
        return out.data
    with ThreadPoolExecutor(workers - 1) as pool:
        jobs = [pool.submit(_mask_range, elements, keys, ring, out, *one) for one in ranges[1:]]
        _mask_range(elements, keys, ring, out, *ranges[0])
    for job in jobs:
        job.result()
    return out.data


def _mask_range(
    elements: NDArray[np.uint64], keys: Sequence[SignedKey], ring: Ring, out: NDArray[np.uint8], first: int, last: int
) -> None:
    kind = np.dtype(word_type(ring))
    block = min(BLOCK_BYTES // kind.itemsize, last - first)
    total, stream = np.empty(block, dtype=kind), bytearray(block * kind.itemsize)
    words, limit = np.frombuffer(stream, dtype=kind.newbyteorder("<")), kind.type(ring.modulus - 1)
    streams = [(_encryptor(key, first * kind.itemsize), np.add if sign > 0 else np.subtract) for key, sign in keys]
    for start in range(first, last, block or 1):
        end = min(start + block, last)
        part, fresh = total[: end - start], words[: end - start]
        np.copyto(part, elements[start:end], casting="unsafe")
        still = _ZEROS[: part.nbytes]
        for encryptor, apply in streams:
            encryptor.update_into(still, stream)
            apply(part, fresh, out=part)
        np.bitwise_and(part, limit, out=part)
        bits.pack_into(part, ring.bits, out[start * ring.bits // 8 : bits.packed_bytes(end, ring.bits)])


def _add(total: Words, keys: Sequence[SignedKey]) -> None:
    stream = bytearray(min(BLOCK_BYTES, max(total.nbytes, total.itemsize)))
    words = np.frombuffer(stream, dtype=total.dtype.newbyteorder("<"))
    for first in range(0, len(keys), _KEYS_AT_ONCE):
        streams = [(_encryptor(key), np.add if sign > 0 else np.subtract) for key, sign in keys[first:][:_KEYS_AT_ONCE]]
        for start in range(0, len(total), len(words)):
            # One block of the total takes every key's mask before the next block's turn: it never leaves the cache.
            part = total[start : start + len(words)]
            still, fresh = _ZEROS[: part.nbytes], words[: len(part)]
            for encryptor, apply in streams:
                encryptor.update_into(still, stream)
                apply(part, fresh, out=part)


def _encryptor(key: bytes, skipped: int = 0) -> CipherContext:
    """The stream of a key from byte ``skipped`` on, a multiple of 16."""
    return Cipher(algorithms.AES256(key), modes.CTR((skipped // 16).to_bytes(16, "big"))).encryptor()


def _check(total: Words, keys: Sequence[SignedKey], ring: Ring) -> None:
    if total.ndim != 1 or total.dtype != word_type(ring) or not total.flags.c_contiguous:
        wanted = f"one dimension of {word_type(ring).__name__}"
        raise SumError(f"masks are added to {wanted}", value=(total.shape, str(total.dtype)))
    _check_keys(keys)


def _check_keys(keys: Sequence[SignedKey]) -> None:
    for key, sign in keys:
        if len(key) != KEY_BYTES or sign not in (1, -1):
            raise SumError(f"a mask has a key of {KEY_BYTES} bytes and a sign of +1 or -1", value=sign)
