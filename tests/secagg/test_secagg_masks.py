"""Masks: the key stream itself, cancelling exactly, whatever the length, ring, order and number of threads."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import SumError
from fedrec.randomness import keystream
from fedrec.secagg import masks
from fedrec.secagg.bits import pack
from fedrec.secagg.masks import BLOCK_BYTES, add_masks, mask_packed, word_type
from fedrec.secagg.ring import Ring


def a_key(at: int) -> bytes:
    return hashlib.sha256(at.to_bytes(4, "big")).digest()


def by_definition(start: Any, keys: list[tuple[bytes, int]], ring: Ring) -> list[int]:
    """The same sum in Python's own integers from the library's one key stream."""
    width = word_type(ring)().itemsize
    total = [int(value) for value in start]
    for key, sign in keys:
        stream = keystream(key, width * len(total))
        for at in range(len(total)):
            total[at] += sign * int.from_bytes(stream[width * at : width * (at + 1)], "little")
    return [value % ring.modulus for value in total]


@pytest.mark.parametrize("bits", [1, 7, 20, 31, 32, 33, 50, 62])
def test_masks_are_the_key_stream(bits: int) -> None:
    ring = Ring(bits)
    start = (np.arange(37, dtype=np.uint64) * 12345 % ring.modulus).astype(word_type(ring))
    keys = [(a_key(at), 1 if at % 3 else -1) for at in range(5)]
    total = start.copy()
    add_masks(total, keys, ring)
    assert total.tolist() == by_definition(start, keys, ring)
    assert int(total.max()) < ring.modulus


@settings(deadline=None, max_examples=40)
@given(
    bits=st.integers(1, 62),
    n=st.sampled_from([0, 1, 3, 1000, BLOCK_BYTES // 8 + 1, BLOCK_BYTES // 4 + 5, 70_001]),
    signs=st.lists(st.sampled_from([1, -1]), max_size=5),
    workers=st.integers(1, 3),
)
def test_a_devices_blocks_are_the_whole_vector_masked_and_packed(
    bits: int, n: int, signs: list[int], workers: int
) -> None:
    ring = Ring(bits)
    elements = np.random.default_rng(n).integers(0, ring.modulus, n, dtype=np.uint64)
    keys = [(a_key(at), sign) for at, sign in enumerate(signs)]
    whole = elements.astype(word_type(ring))
    add_masks(whole, keys, ring)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "_WORTH_A_THREAD", 1)
        assert bytes(mask_packed(elements, keys, ring, workers)) == pack(whole, bits)
    assert n == 0 or elements.max() < ring.modulus


@pytest.mark.parametrize(
    "elements", [np.zeros(3), np.zeros(3, dtype=np.uint32), np.zeros((2, 2), dtype=np.uint64), np.full(3, 1 << 20)]
)
def test_a_device_masks_ring_elements_only(elements: Any) -> None:
    if elements.dtype == np.int64:
        elements = elements.astype(np.uint64)
    with pytest.raises(SumError):
        mask_packed(elements, [(a_key(1), 1)], Ring(20))


@settings(deadline=None, max_examples=40)
@given(
    bits=st.integers(1, 62),
    n=st.sampled_from([0, 1, 3, 1000, BLOCK_BYTES // 8, BLOCK_BYTES // 4, BLOCK_BYTES // 4 + 1, 70_001]),
    signs=st.lists(st.sampled_from([1, -1]), max_size=5),
    workers=st.integers(1, 3),
)
def test_both_neighbours_masks_cancel(bits: int, n: int, signs: list[int], workers: int) -> None:
    ring = Ring(bits)
    mine = (np.arange(n, dtype=np.uint64) % ring.modulus).astype(word_type(ring))
    keys = [(a_key(at), sign) for at, sign in enumerate(signs)]
    masked = mine.copy()
    add_masks(masked, keys, ring, workers)
    assert not signs or n < 1000 or bits < 8 or (masked != mine).mean() > 0.9
    add_masks(masked, [(key, -sign) for key, sign in reversed(keys)], ring)
    assert np.array_equal(masked, mine)


def test_blocks_and_threads_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, more keys than are held open at once, any number of threads: the same bytes."""
    monkeypatch.setattr(masks, "_WORTH_A_THREAD", 1)
    ring = Ring(20)
    n = BLOCK_BYTES // 4 * 2 + 123
    keys = [(a_key(at), 1 if at % 2 else -1) for at in range(67)]
    expected = np.zeros(n, dtype=np.uint32)
    for key, sign in keys:
        expected += np.uint32(sign % 2**32) * np.frombuffer(keystream(key, 4 * n), dtype="<u4")
    expected &= np.uint32(ring.modulus - 1)
    for workers in (1, 2, 3, 100):
        total = np.zeros(n, dtype=np.uint32)
        add_masks(total, keys, ring, workers)
        assert np.array_equal(total, expected)


def test_a_longer_vector_does_not_change_its_beginning() -> None:
    short, long = np.zeros(100, dtype=np.uint32), np.zeros(60_000, dtype=np.uint32)
    for total in (short, long):
        add_masks(total, [(a_key(1), 1)], Ring(32))
    assert np.array_equal(short, long[:100])


def test_a_mask_is_spread_over_the_ring() -> None:
    """Chi-square of the top and of the bottom four bits of a 20-bit mask; 15 degrees, limit at probability 1e-6."""
    total = np.zeros(200_000, dtype=np.uint32)
    add_masks(total, [(a_key(2), 1)], Ring(20))
    for nibble in (total >> 16, total & 15):
        counts = np.bincount(nibble, minlength=16)
        assert ((counts - 12_500) ** 2 / 12_500).sum() < 59


def test_no_key_reduces_only() -> None:
    total = np.array([5, 2**20 + 3, 2**32 - 1], dtype=np.uint32)
    add_masks(total, [], Ring(20), workers=4)
    assert total.tolist() == [5, 3, 2**20 - 1]


def test_word_types() -> None:
    assert [word_type(Ring(bits)) for bits in (1, 32, 33, 62)] == [np.uint32, np.uint32, np.uint64, np.uint64]


@pytest.mark.parametrize(
    "total",
    [
        np.zeros(4, dtype=np.uint64),
        np.zeros(4, dtype=np.int32),
        np.zeros((2, 2), dtype=np.uint32),
        np.zeros(8, dtype=np.uint32)[::2],
    ],
)
def test_vectors_of_another_form_are_refused(total: Any) -> None:
    with pytest.raises(SumError, match="masks are added"):
        add_masks(total, [(a_key(0), 1)], Ring(20))


@pytest.mark.parametrize("key", [(bytes(31), 1), (bytes(33), 1), (a_key(0), 0), (a_key(0), 2)])
def test_bad_keys_and_signs_are_refused_before_anything_changes(key: tuple[bytes, int]) -> None:
    total = np.zeros(4, dtype=np.uint32)
    with pytest.raises(SumError, match="sign"):
        add_masks(total, [(a_key(1), 1), key], Ring(20))
    assert not total.any()


def test_a_mask_costs_no_memory_of_its_own_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread allocates two blocks, not another vector: that is what keeps it in the cache."""
    import tracemalloc

    total = np.zeros(4_000_000, dtype=np.uint32)
    tracemalloc.start()
    add_masks(total, [(a_key(at), 1) for at in range(3)], Ring(20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * masks.BLOCK_BYTES
