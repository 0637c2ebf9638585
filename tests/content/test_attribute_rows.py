"""Attribute columns for many items at once equal those of one item after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.content import attributes
from fedrec.content.attribute_rows import OTHER
from fedrec.content.attributes import OUTERMOST, AttributeEncoder, says_something, title_year
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError

VALUES = st.sampled_from(["red", "blue", "green", OTHER])
FLOATS = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([math.inf, math.nan, 1e308]))


@st.composite
def items(draw: st.DrawFn) -> list[ItemRecord]:
    found = []
    for place in range(draw(st.integers(1, 7))):
        fields = draw(st.dictionaries(st.sampled_from(["a", "b"]), st.lists(VALUES, max_size=3).map(tuple)))
        numbers = draw(st.dictionaries(st.sampled_from(["p", "q"]), FLOATS))
        year = draw(st.sampled_from(["", " (1994)", " (2003)", " (12)"]))
        found.append(ItemRecord(str(place), f"T{year}", attributes=fields, numbers=numbers))
    return found


def plain_row(encoder: AttributeEncoder, item: ItemRecord) -> tuple[np.ndarray[Any, Any], bool]:
    """One item's scaled row, and whether it holds something the encoder knows: written out, step by step."""
    blocks: list[list[float]] = []
    there = False
    for category in encoder.categories:
        row = [0.0] * len(category.values)
        for value in item.attributes.get(category.field, ()):
            there |= value in category.values or OTHER in category.values
            if value in category.values:
                row[category.values.index(value)] = 1.0
            elif category.values[-1] == OTHER:
                row[-1] = 1.0
        length = max(math.sqrt(sum(row)), 1.0)
        blocks.append([entry / length for entry in row])
    for name, mean, deviation in encoder.numbers:
        value = item.numbers.get(name, math.nan)
        there |= math.isfinite(value)
        cut = min(max(value / deviation - mean / deviation, -OUTERMOST), OUTERMOST) if math.isfinite(value) else 0.0
        blocks.append([cut])
    if encoder.decades:
        row, year = [0.0] * (len(encoder.decades) + 1), title_year(item.title)
        if year is not None:
            there = True
            mean, deviation = encoder.year
            row[-1] = min(max(year / deviation - mean / deviation, -OUTERMOST), OUTERMOST)
            if year // 10 * 10 in encoder.decades:
                row[encoder.decades.index(year // 10 * 10)] = 1.0
        blocks.append(row)
    scaled: list[float] = []
    for block in blocks:
        start = len(scaled)
        centre, gains = (array[start : start + len(block)] for array in (encoder.centre, encoder.gains))
        values = (np.array(block, np.float32) - centre) * gains if any(block) else np.zeros(len(block))
        scaled += values.tolist()
    return np.array(scaled), there


@given(catalogue=items(), others=items())
@settings(deadline=None, max_examples=60)
def test_many_items_at_once_are_one_after_the_other(catalogue: list[ItemRecord], others: list[ItemRecord]) -> None:
    if not says_something(catalogue):
        with pytest.raises(ContentError):
            AttributeEncoder.fit(catalogue)
        return
    encoder = AttributeEncoder.fit(catalogue)
    encoded = encoder.encode(others)
    for place, item in enumerate(others):
        row, there = plain_row(encoder, item)
        np.testing.assert_allclose(encoded.values[place], row, rtol=1e-6, atol=1e-7)
        assert encoded.present[place] == there
    wrong = sum(not math.isfinite(item.numbers.get(name, 0.0)) for item in others for name, _, _ in encoder.numbers)
    assert len(encoded.problems) == wrong


def test_blocks_of_items_do_not_change_what_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = [
        ItemRecord(str(place), "T (1990)", attributes={"a": (str(place % 3),)}, numbers={"p": place / 7 or math.inf})
        for place in range(11)
    ]
    whole = AttributeEncoder.fit(catalogue)
    all_at_once = whole.encode(catalogue)
    monkeypatch.setattr(attributes, "_AT_A_TIME", 4)
    assert AttributeEncoder.fit(catalogue).digest() == whole.digest()
    in_blocks = whole.encode(catalogue)
    np.testing.assert_array_equal(in_blocks.values, all_at_once.values)
    assert in_blocks.problems == all_at_once.problems
