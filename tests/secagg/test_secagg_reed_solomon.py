"""Decoding shares: all false ones up to the bound are corrected and named, and beyond it nothing is invented."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from secagg_cases import source

from fedrec.secagg.reed_solomon import Decoded, decode, most_errors
from fedrec.secagg.shamir import PRIME, number_of, split


def shares_of(secret: bytes, threshold: int, points: list[int], label: str = "") -> dict[int, int]:
    dealt = split(secret, threshold, points, source(f"{threshold} {label}"))
    return {point: number_of(share) for point, share in zip(points, dealt, strict=True)}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_false_shares_up_to_the_bound_are_corrected_and_named_exactly(data: st.DataObject) -> None:
    points = data.draw(st.lists(st.integers(1, 2**16), min_size=1, max_size=40, unique=True))
    threshold = data.draw(st.integers(1, len(points)))
    secret = data.draw(st.binary(min_size=31, max_size=31))
    values = shares_of(secret, threshold, points)
    most = most_errors(len(points), threshold)
    lies = data.draw(st.lists(st.sampled_from(points), max_size=most, unique=True)) if most else []
    for point in lies:
        values[point] = (values[point] + data.draw(st.integers(1, PRIME - 1))) % PRIME
    found = decode(values, threshold)
    assert found is not None
    assert found.constant == int.from_bytes(secret, "big")
    assert found.false == tuple(sorted(lies))
    for point in lies:
        assert found.value(point) != values[point]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_beyond_the_bound_what_is_found_lies_within_it(data: st.DataObject) -> None:
    """Any values at all: nothing is found, or a polynomial that all but so many of them are on."""
    count = data.draw(st.integers(1, 16))
    threshold = data.draw(st.integers(1, count))
    values = {point: data.draw(st.integers(0, 3)) for point in range(1, count + 1)}
    found = decode(values, threshold)
    if found is not None:
        assert len(found.coefficients) <= threshold
        assert [point for point in values if found.value(point) != values[point]] == list(found.false)
        assert len(found.false) <= most_errors(count, threshold)


@pytest.mark.parametrize("lies", list(combinations(range(1, 8), 2)))
def test_every_pair_of_liars_of_seven_is_found(lies: tuple[int, int]) -> None:
    values = shares_of(b"\x05" * 31, 3, list(range(1, 8)))
    for point in lies:
        values[point] = 0
    assert decode(values, 3) == Decoded(decode(shares_of(b"\x05" * 31, 3, [1, 2, 3]), 3).coefficients, lies)  # type: ignore[union-attr]


def test_liars_who_agree_on_another_polynomial_are_still_outvoted() -> None:
    """The hardest lies: all on one other polynomial of the same degree, which meets the true one in two places."""
    true, other = shares_of(b"\x01" * 31, 3, list(range(1, 10))), shares_of(b"\x02" * 31, 3, list(range(1, 10)), "b")
    lies = (2, 5, 9)
    found = decode({**true, **{point: other[point] for point in lies}}, 3)
    assert found is not None and found.constant == int.from_bytes(b"\x01" * 31, "big") and found.false == lies


def test_the_bound_is_sharp() -> None:
    """One liar more, on another polynomial, and that one is as near: here it is nearer, and is what is found."""
    true, other = shares_of(b"\x01" * 31, 3, list(range(1, 8))), shares_of(b"\x02" * 31, 3, list(range(1, 8)), "b")
    found = decode({**true, **{point: other[point] for point in (1, 2, 3, 4, 5)}}, 3)
    assert found is not None and found.constant == int.from_bytes(b"\x02" * 31, "big") and found.false == (6, 7)


def test_known_answers() -> None:
    """f(x) = 5 + 2 x + 3 x^2 by hand, two of seven values wrong; and a constant, one of three wrong."""
    values = {1: 10, 2: 21, 3: 38, 4: 61, 5: 90, 6: 125, 7: 166}
    assert decode(values, 3) == Decoded((5, 2, 3), ())
    assert decode({**values, 2: 22, 7: 0}, 3) == Decoded((5, 2, 3), (2, 7))
    assert decode({**values, 1: PRIME - 1, 4: 60}, 3) == Decoded((5, 2, 3), (1, 4))
    assert decode({4: 9, 5: 8, 65536: 9}, 1) == Decoded((9,), (5,))
    assert decode({1: 0, 2: 0, 3: 1, 4: 0, 5: 0}, 2) == Decoded((), (3,))
    assert decode({1: 1, 2: 2, 3: 4, 4: 8, 5: 16}, 2) is None
    for few in ({}, {1: 5}):
        assert decode(few, 2) is None
    assert decode({1: 5}, 0) is None


def test_how_many_can_be_corrected() -> None:
    assert [most_errors(*pair) for pair in [(32, 17), (52, 28), (59, 32), (3, 3), (2, 3)]] == [7, 12, 13, 0, 0]
