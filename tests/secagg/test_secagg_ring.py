"""The ring: sums that cannot overflow, exact round trips, strict packing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fedrec.errors import SumError
from fedrec.secagg.ring import SLACK, Ring, resolution_for

BOUNDS = st.floats(1e-6, 1e6)
BITS = st.integers(1, 62)


# Just below a power of two: only the room for what encode lets through beyond the bound keeps this one inside.
@example(bound=(2**30 - 4) / 2**30, fineness=29, cohort=[1], signs=(1, -1))
@given(
    bound=BOUNDS,
    fineness=st.integers(0, 30),
    cohort=st.lists(st.integers(1, 40), min_size=1, max_size=12),
    signs=st.sampled_from([(1, 1), (-1, -1), (1, -1)]),
)
def test_worst_cases_never_overflow(bound: float, fineness: int, cohort: list[int], signs: tuple[int, int]) -> None:
    """Contributions of several rows each, at the very end of what encode lets through, add up to the true sum."""
    resolution = resolution_for(bound, fineness)
    ring = Ring.for_sum(bound, resolution, sum(cohort))
    total = np.zeros(2, dtype=np.uint64)
    exact = [0, 0]
    for rows in cohort:
        limit = rows * bound
        worst = np.array(signs) * limit * (1 + SLACK * (1 - 1e-9))
        elements = ring.encode(worst, resolution, limit=limit)
        exact = [a + int(b) for a, b in zip(exact, np.rint(worst / resolution), strict=True)]
        total = ring.add(total, ring.unpack(ring.pack(elements), 2))
    assert ring.steps(total).tolist() == exact
    assert ring.decode(total, resolution).tolist() == [step * resolution for step in exact]


@given(bound=BOUNDS, fineness=st.integers(0, 30), rows=st.integers(1, 10**6))
def test_the_ring_is_the_narrowest(bound: float, fineness: int, rows: int) -> None:
    resolution = resolution_for(bound, fineness)
    ring = Ring.for_sum(bound, resolution, rows)
    largest = rows * (bound / resolution * (1 + 2 * SLACK) + 0.5)  # the most steps that a sum may have
    assert 2 ** (ring.bits - 2) <= largest * (1 + 1e-12)
    assert largest < 2 ** (ring.bits - 1) * (1 + 1e-12)


def test_known_widths() -> None:
    # One row of bound 1 in steps of 1/2: at most 2 and a half steps, so -2 to 2, three bits with sign.
    assert Ring.for_sum(1.0, 0.5, 1).bits == 3
    assert Ring.for_sum(1.0, 2.0**-20, 6040).bits == 34
    assert Ring(34).element_bytes == 5
    assert Ring(8).element_bytes == 1
    assert Ring(9).modulus == 512


def test_hand_computed_elements() -> None:
    ring = Ring(8)
    elements = ring.encode(np.array([0.0, 1.0, -0.25, -1.1, 0.3, 31.75, -32.0]), 0.25)
    assert elements.tolist() == [0, 4, 255, 252, 1, 127, 128]
    assert ring.decode(elements, 0.25).tolist() == [0.0, 1.0, -0.25, -1.0, 0.25, 31.75, -32.0]
    assert ring.pack(elements) == bytes([0, 4, 255, 252, 1, 127, 128])
    assert Ring(12).pack(np.array([0xABC], dtype=np.uint64)) == b"\xbc\x0a"
    assert ring.add(elements[1:2], elements[2:3]).tolist() == [3]


def test_adding_in_place() -> None:
    ring = Ring(8)
    total = np.array([200, 1], dtype=np.uint64)
    assert ring.add(total, np.array([100, 1], dtype=np.uint64), out=total) is total
    assert total.tolist() == [44, 2]


@given(bits=BITS, data=st.data())
def test_packing_round_trips(bits: int, data: st.DataObject) -> None:
    ring = Ring(bits)
    values = data.draw(st.lists(st.integers(0, ring.modulus - 1), max_size=9))
    elements = np.array(values, dtype=np.uint64)
    packed = ring.pack(elements)
    assert len(packed) == len(values) * ring.element_bytes
    assert ring.unpack(packed, len(values)).tolist() == values
    half = ring.modulus // 2
    assert ring.steps(elements).tolist() == [value - ring.modulus if value >= half else value for value in values]


@given(bits=BITS, data=st.data())
def test_addition_is_modular_and_masks_cancel(bits: int, data: st.DataObject) -> None:
    ring = Ring(bits)
    element = st.integers(0, ring.modulus - 1)
    a, b, mask = (np.array([data.draw(element)], dtype=np.uint64) for _ in range(3))
    assert ring.add(a, b).tolist() == [(int(a[0]) + int(b[0])) % ring.modulus]
    negative = np.array([(ring.modulus - int(mask[0])) % ring.modulus], dtype=np.uint64)
    assert ring.add(ring.add(ring.add(a, mask), b), negative).tolist() == ring.add(a, b).tolist()


@given(st.lists(st.floats(-1, 1), max_size=20))
def test_rounding_is_to_the_nearest_step(values: list[float]) -> None:
    resolution = resolution_for(1.0, 10)
    ring = Ring.for_sum(1.0, resolution, 1)
    decoded = ring.decode(ring.encode(np.array(values, dtype=np.float64), resolution, limit=1.0), resolution)
    assert np.abs(decoded - np.array(values)).max(initial=0.0) <= resolution / 2


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.001, -1.001])
def test_a_value_beyond_the_bound_is_refused(bad: float) -> None:
    ring = Ring.for_sum(1.0, 2.0**-10, 5)
    with pytest.raises(SumError):
        ring.encode(np.array([0.0, bad, 0.5]), 2.0**-10, limit=1.0)


def test_a_value_beyond_the_ring_is_refused_without_a_limit() -> None:
    ring = Ring(4)
    assert ring.encode(np.array([7.4, -8.4]), 1.0).tolist() == [7, 8]
    for bad in (7.6, -8.6, 1e300):
        with pytest.raises(SumError, match="ring"):
            ring.encode(np.array([bad]), 1.0)
    with pytest.raises(SumError, match="bound"):
        ring.encode(np.array([1.0]), 1.0, limit=math.nan)


@pytest.mark.parametrize(
    "vector", [np.zeros((2, 2)), np.zeros(3, dtype=np.int64), np.zeros(2, dtype=np.complex128), np.float64(1.0)]
)
def test_only_float_vectors_are_encoded(vector: Any) -> None:
    with pytest.raises(SumError, match="vector of floats"):
        Ring(8).encode(vector, 1.0)


def test_float32_is_encoded_without_loss_of_steps() -> None:
    vector = np.array([0.1, -0.7], dtype=np.float32)
    ring = Ring.for_sum(1.0, 2.0**-30, 1)
    expected = [round(float(value) * 2**30) for value in vector]
    assert ring.steps(ring.encode(vector, 2.0**-30, limit=1.0)).tolist() == expected


@pytest.mark.parametrize(("data", "n"), [(b"\x00", 1), (b"\x00" * 4, 1), (b"\x00" * 3, -1), (b"", 1)])
def test_unpacking_refuses_a_wrong_length(data: bytes, n: int) -> None:
    with pytest.raises(SumError, match="packed"):
        Ring(12).unpack(data, n)


def test_elements_not_below_the_modulus_are_refused() -> None:
    ring = Ring(12)
    assert ring.unpack(b"\xff\x0f", 1).tolist() == [4095]
    with pytest.raises(SumError, match="modulus"):
        ring.unpack(b"\x00\x10", 1)
    big = np.array([4096], dtype=np.uint64)
    for refuses in (ring.pack, ring.steps, lambda elements: ring.decode(elements, 1.0)):
        with pytest.raises(SumError, match="modulus"):
            refuses(big)
    with pytest.raises(SumError, match="uint64"):
        ring.pack(np.array([1], dtype=np.int64))


def test_vectors_of_different_form_do_not_add() -> None:
    two, three = np.zeros(2, dtype=np.uint64), np.zeros(3, dtype=np.uint64)
    with pytest.raises(SumError, match="add"):
        Ring(8).add(two, three)
    with pytest.raises(SumError, match="add"):
        Ring(8).add(two, two.astype(np.int64))


@pytest.mark.parametrize("bits", [0, 63, -1, 8.0, True])
def test_absurd_widths_are_refused(bits: Any) -> None:
    with pytest.raises(SumError, match="bits"):
        Ring(bits)


@pytest.mark.parametrize(
    ("bound", "resolution", "rows"),
    [(0.0, 1.0, 1), (-1.0, 1.0, 1), (math.nan, 1.0, 1), (math.inf, 1.0, 1), (1.0, 0.0, 1), (1.0, math.nan, 1)],
)
def test_absurd_bounds_and_resolutions_are_refused(bound: float, resolution: float, rows: int) -> None:
    with pytest.raises(SumError, match="positive and finite"):
        Ring.for_sum(bound, resolution, rows)


@pytest.mark.parametrize("rows", [0, -1, True, 2.0])
def test_absurd_row_counts_are_refused(rows: Any) -> None:
    with pytest.raises(SumError, match="rows"):
        Ring.for_sum(1.0, 1.0, rows)


@pytest.mark.parametrize(("resolution", "rows"), [(2.0**-61, 1), (2.0**-40, 2**30)])
def test_sums_too_wide_for_a_word_are_refused(resolution: float, rows: int) -> None:
    with pytest.raises(SumError, match="coarser"):
        Ring.for_sum(1.0, resolution, rows)


@given(bound=BOUNDS, bits=st.integers(0, 40))
def test_resolutions_are_powers_of_two_just_fine_enough(bound: float, bits: int) -> None:
    resolution = resolution_for(bound, bits)
    assert math.frexp(resolution)[0] == 0.5
    assert bound / 2**bits / 2 < resolution <= bound / 2**bits


def test_absurd_resolutions_are_refused() -> None:
    for bound, bits in ((0.0, 8), (math.nan, 8), (-1.0, 8), (1e-300, 40)):
        with pytest.raises(SumError):
            resolution_for(bound, bits)
