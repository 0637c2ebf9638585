"""Packing to whole bits: exact layout, round trips of any length and width, strict reading."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.errors import SumError
from fedrec.secagg.bits import pack, packed_bytes, unpack


def by_definition(values: list[int], bits: int) -> bytes:
    """All elements as one number, least significant first."""
    whole = sum(value << (at * bits) for at, value in enumerate(values))
    return whole.to_bytes(packed_bytes(len(values), bits), "little")


def elements(n: int, bits: int, seed: int = 0) -> Any:
    drawn = np.random.default_rng(seed).integers(0, 1 << bits, n, dtype=np.uint64)
    return drawn.astype(np.uint32) if bits <= 32 else drawn


@pytest.mark.parametrize("bits", range(1, 63))
@pytest.mark.parametrize("n", [0, 1, 2, 63, 257])
def test_every_width_is_laid_out_as_defined(bits: int, n: int) -> None:
    values = elements(n, bits)
    packed = pack(values, bits)
    assert packed == by_definition(values.tolist(), bits)
    back = unpack(packed, n, bits)
    assert back.tolist() == values.tolist()
    assert back.dtype == (np.uint32 if bits <= 32 else np.uint64)


@settings(deadline=None, max_examples=50)
@given(bits=st.integers(1, 62), data=st.data())
def test_round_trips(bits: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=80))
    packed = pack(np.array(values, dtype=np.uint64), bits)
    assert packed == by_definition(values, bits)
    assert unpack(packed, len(values), bits).tolist() == values


@pytest.mark.parametrize("bits", [1, 20, 21, 33])
def test_more_than_one_chunk(bits: int) -> None:
    values = elements(300_001, bits, seed=1)
    packed = pack(values, bits)
    assert len(packed) == (300_001 * bits + 7) // 8
    assert np.array_equal(unpack(packed, len(values), bits), values)
    # The last elements are where the definition puts them, whatever was packed in chunks before.
    whole = int.from_bytes(packed[-40:], "little")
    tail = 8 * len(packed) - 320
    for at in (300_000, 299_998):
        assert whole >> (at * bits - tail) & (2**bits - 1) == int(values[at])


def test_hand_computed_bytes() -> None:
    assert pack(np.array([0xABCDE, 0x12345], dtype=np.uint32), 20) == bytes([0xDE, 0xBC, 0x5A, 0x34, 0x12])
    assert pack(np.array([1, 0, 1, 1], dtype=np.uint32), 1) == b"\x0d"
    assert pack(np.array([5], dtype=np.uint64), 3) == b"\x05"


@pytest.mark.parametrize(("n", "bits", "size"), [(0, 20, 0), (1, 1, 1), (8, 1, 1), (9, 1, 2), (1000, 20, 2500)])
def test_sizes(n: int, bits: int, size: int) -> None:
    assert packed_bytes(n, bits) == size


def test_a_view_packs_like_its_copy() -> None:
    wide = elements(1000, 17)
    assert pack(wide[::3], 17) == pack(wide[::3].copy(), 17)


@pytest.mark.parametrize("data", [b"", bytes(4), bytes(6)])
def test_another_length_is_refused(data: bytes) -> None:
    assert unpack(bytes(5), 2, 20).tolist() == [0, 0]
    with pytest.raises(SumError, match="another length"):
        unpack(data, 2, 20)
    with pytest.raises(SumError, match="another length"):
        unpack(b"", -1, 20)


@pytest.mark.parametrize("bit", [4, 5, 6, 7])
def test_set_bits_behind_the_last_element_are_refused(bit: int) -> None:
    good = pack(np.array([0xFFFFF], dtype=np.uint32), 20)
    assert unpack(good, 1, 20).tolist() == [0xFFFFF]
    with pytest.raises(SumError, match="bits that are set"):
        unpack(good[:2] + bytes([good[2] | 1 << bit]), 1, 20)


def test_elements_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SumError, match="does not fit"):
        pack(np.array([0, 2**20], dtype=np.uint32), 20)
    with pytest.raises(SumError, match="does not fit"):
        pack(np.array([2**63], dtype=np.uint64), 62)


@pytest.mark.parametrize("bad", [np.zeros(2), np.zeros(2, dtype=np.int64), np.zeros((2, 2), dtype=np.uint32)])
def test_other_arrays_are_refused(bad: Any) -> None:
    with pytest.raises(SumError, match="unsigned"):
        pack(bad, 20)


@pytest.mark.parametrize("bits", [0, 63, -1, 8.0, True])
def test_absurd_widths_are_refused(bits: Any) -> None:
    with pytest.raises(SumError, match="bits"):
        pack(np.zeros(1, dtype=np.uint32), bits)
    with pytest.raises(SumError, match="bits"):
        unpack(b"\0", 1, bits)
