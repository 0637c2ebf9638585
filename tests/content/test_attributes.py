from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.content.attributes import MOST_VALUES, OTHER, OUTERMOST, AttributeEncoder, title_year
from fedrec.data.schema import ItemRecord
from fedrec.errors import ContentError
from fedrec.testing.encoders import EncoderContract


def item(place: int, title: str = "", price: float | None = None, **fields: tuple[str, ...]) -> ItemRecord:
    numbers = {} if price is None else {"price": price}
    return ItemRecord(id=str(place), title=title, attributes=fields, numbers=numbers)


ITEMS = [
    item(0, "Heat (1995)", 3.0, genres=("Crime", "Drama")),
    item(1, "Alien (1979)", 5.0, genres=("Horror",)),
    item(2, "Up (2009)", 1.0, genres=("Drama",), studio=("P",)),
    item(3, "Blob", 7.0, studio=("Q",)),
]
EMPTY = ItemRecord(id="x", title="no year here")


class TestAttributesContract(EncoderContract):
    content, missing = ITEMS, EMPTY

    @staticmethod
    def fit() -> AttributeEncoder:
        return AttributeEncoder.fit(ITEMS)

    @staticmethod
    def fit_on_nothing() -> AttributeEncoder:
        return AttributeEncoder.fit([EMPTY])

    @pytest.mark.skip(reason="it has no settings")
    def test_name_changes_with_the_settings_and_not_otherwise(self) -> None: ...


def column(encoder: AttributeEncoder, name: str) -> int:
    return encoder.columns.index(name)


def test_columns_are_named_in_a_fixed_order() -> None:
    assert AttributeEncoder.fit(ITEMS).columns == (
        *("genres=Drama", "genres=Crime", "genres=Horror", "studio=P", "studio=Q", "price"),
        *("year=1970s", "year=1980s", "year=1990s", "year=2000s", "year"),
    )


def test_values_by_hand() -> None:
    encoder = AttributeEncoder.fit([item(0, price=1.0, kind=("a",)), item(1, price=3.0, kind=("b",))])
    # kind: multi-hot rows (1, 0) and (0, 1), centred (.5, -.5), norm sqrt(.5); price: -1 and 1; two blocks.
    half = math.sqrt(0.5)
    expected = [[0.5, -0.5, -half], [-0.5, 0.5, half]]
    got = encoder.encode([item(0, price=1.0, kind=("a",)), item(1, price=3.0, kind=("b",))]).values
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_every_block_weighs_the_same_and_a_full_row_about_one() -> None:
    encoder = AttributeEncoder.fit(ITEMS)
    values = encoder.encode(ITEMS).values
    for block in encoder._blocks():
        rows = values[:, block]
        has = rows.any(axis=1)
        assert np.mean((rows[has] ** 2).sum(axis=1)) == pytest.approx(1 / 4, abs=1e-5)


def test_a_missing_block_is_zero() -> None:
    encoder = AttributeEncoder.fit(ITEMS)
    row = encoder.encode([item(9, price=2.0)]).values[0]
    assert np.flatnonzero(row).tolist() == [column(encoder, "price")]


def test_sharing_a_rare_value_says_more_than_sharing_a_common_one() -> None:
    items = [item(place, genres=("common",)) for place in range(8)] + [item(8, genres=("rare",))] * 2
    rows = AttributeEncoder.fit(items).encode(items).values
    assert rows[8] @ rows[9] > rows[0] @ rows[1] > 0 > rows[0] @ rows[8]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_missing_and_reported(value: float) -> None:
    items = [*ITEMS, item(4, price=value, genres=("Drama",))]
    encoder = AttributeEncoder.fit(items)
    got = encoder.encode(items)
    assert np.isfinite(got.values).all()
    assert [problem.place for problem in got.problems] == [4] and "price" in got.problems[0].reason
    assert got.values[4, column(encoder, "price")] == 0 and got.present[4]
    assert encoder.numbers == AttributeEncoder.fit(ITEMS).numbers
    assert encoder.encode([item(5, price=value)]).present.tolist() == [False]


def test_extreme_numbers_are_cut() -> None:
    items = [item(place, price=float(place % 3)) for place in range(99)] + [item(99, price=1e300)]
    encoder = AttributeEncoder.fit(items)
    values = encoder.encode([*items, item(100, price=-1e308)]).values
    assert np.isfinite(values).all()
    raw = values / encoder.gains + encoder.centre
    assert np.abs(raw).max() <= OUTERMOST + 1e-3


def test_an_average_number_is_present_though_zero() -> None:
    encoder = AttributeEncoder.fit([item(0, price=1.0), item(1, price=3.0)])
    got = encoder.encode([item(2, price=2.0)])
    assert got.present.tolist() == [True] and got.values[0, 0] == pytest.approx(0, abs=1e-6)


def test_rare_values_of_a_large_field_are_folded() -> None:
    items = [item(place, tag=(f"t{place:03}", "all")) for place in range(MOST_VALUES + 44)]
    encoder = AttributeEncoder.fit(items)
    assert encoder.width == MOST_VALUES
    assert encoder.columns[0] == "tag=all" and encoder.columns[-1] == f"tag={OTHER}"
    last, unseen, known = encoder.encode([items[-1], item(0, tag=("never", "all")), items[0]]).values
    np.testing.assert_array_equal(last, unseen)
    assert not np.array_equal(last, known)


def test_unseen_values_and_fields_of_a_small_field_are_ignored() -> None:
    got = AttributeEncoder.fit(ITEMS).encode([item(0, genres=("Western",)), item(1, colour=("red",))])
    assert not got.present.any() and not got.values.any() and got.problems == ()


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Heat (1995)", 1995),
        ("Heat (1995) ", 1995),
        ("2001: A Space Odyssey (1968)", 1968),
        ("Blade Runner 2049", None),
        ("Film (0000)", None),
        ("Film (9999)", None),
        ("Cut (1990) again", None),
        ("", None),
    ],
)
def test_title_year(title: str, year: int | None) -> None:
    assert title_year(title) == year


def test_years_of_one_decade_are_alike() -> None:
    items = [item(year, f"film ({year})") for year in (1931, 1938, 1955, 1972, 1979, 1994, 1999)]
    rows = AttributeEncoder.fit(items).encode(items).values
    likeness = rows @ rows.T - 9 * np.eye(len(items))
    assert likeness[[0, 3, 5]].argmax(axis=1).tolist() == [1, 4, 6]
    assert likeness[0, 2] > likeness[0, 6]


@given(
    st.lists(
        st.builds(
            lambda title, fields, numbers: ItemRecord("i", title, attributes=fields, numbers=numbers),
            st.sampled_from(["", "a (1990)", "b (2011)", "(1)"]),
            st.dictionaries(st.sampled_from("fg"), st.lists(st.text(max_size=2), max_size=3).map(tuple), max_size=2),
            st.dictionaries(st.sampled_from("xy"), st.floats(), max_size=2),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_catalogue_gives_finite_rows(items: list[Any]) -> None:
    try:
        encoder = AttributeEncoder.fit(items)
    except ContentError:
        return
    got = encoder.encode(items)
    assert got.values.shape == (len(items), len(encoder.columns))
    assert np.isfinite(got.values).all() and not got.values[~got.present].any()
    assert np.linalg.norm(got.values, axis=1).max() < 4 * math.sqrt(len(items)) + 1
