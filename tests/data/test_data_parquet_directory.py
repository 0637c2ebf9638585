"""A data directory in Parquet: the same data set as in CSV, read without an object for each item."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrec.data.arrow_columns import ArrowTexts
from fedrec.data.parquet_items import ParquetItems
from fedrec.data.sources import read_data
from fedrec.data.splits import split
from fedrec.errors import DataError
from tests.data.population_cases import ITEMS, write_items, write_users


def test_items_and_users_are_read(tmp_path: Path) -> None:
    write_items(tmp_path)
    write_users(tmp_path)
    (tmp_path / "notes.csv").write_text("user,text\nb,something red\n", encoding="utf-8")
    found = read_data(tmp_path)
    assert (tuple(found.users), len(found.items), len(found.interactions)) == (("a", "b", "c"), ITEMS, 6)
    first, second = found.items[0], found.items[1]
    assert (first.id, first.title, first.text, first.numbers) == ("i0", "Item 0", "red lamp", {"price": 1.5})
    assert first.attributes == {"genres": ("Home", "Kids")}
    assert (second.text, second.numbers) == ("", {})
    assert [item.id for item in found.items] == [f"i{place}" for place in range(ITEMS)]
    assert found.items[-1].id == "i8" and [item.id for item in found.items[2:4]] == ["i2", "i3"]
    assert found.notes == {1: ("something red",)}
    assert found.interactions.user.tolist() == [0, 0, 0, 1, 2, 2]
    assert np.isnan(found.interactions.rating).all()
    held = split(found)
    assert (held.valid.tolist(), held.test.tolist()) == ([1, -1, -1], [2, 3, 5])
    assert held.training.items.tolist() == [0, 4]
    assert found.users.index("c") == 2


def test_attributes_may_be_lists(tmp_path: Path) -> None:
    write_items(tmp_path, genres=[["Home", " Kids ", "Home"], [], None, *[["Office"]] * (ITEMS - 3)])
    items = ParquetItems(tmp_path / "items.parquet")
    assert [dict(item.attributes) for item in items[:4]] == [
        {"genres": ("Home", "Kids")},
        {},
        {},
        {"genres": ("Office",)},
    ]
    with pytest.raises(IndexError):
        items[ITEMS]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"item": None}, "items.parquet: no column item"),
        ({"title": [1] * ITEMS}, "column title is of another type"),
        ({"price": ["a"] * ITEMS}, "column price is of another type"),
        ({"genres": [1.5] * ITEMS}, "column genres is of another type"),
        ({"item": ["i0", "", *[f"i{place}" for place in range(2, ITEMS)]]}, "items.parquet:2: item: an empty cell"),
        ({"item": ["i0", "i1", "i0", *[f"i{place}" for place in range(3, ITEMS)]]}, "items.parquet:3: an item that"),
        ({"attr_price": ["a"] * ITEMS}, "two columns give the same field"),
    ],
)
def test_a_wrong_catalogue_is_an_error_that_names_file_and_row(
    columns: dict[str, Any], words: str, tmp_path: Path
) -> None:
    if "attr_price" in columns:
        words = "two columns give the same field"
        columns = {"attr_colour": ["a"] * ITEMS, "colour": ["b"] * ITEMS}
    path = write_items(tmp_path, **columns)
    with pytest.raises(DataError) as error:
        ParquetItems(path)
    assert words in str(error.value)


def test_a_text_over_a_megabyte_is_an_error(tmp_path: Path) -> None:
    items = ParquetItems(write_items(tmp_path, text=["x" * 1_000_001, *["y"] * (ITEMS - 1)]))
    with pytest.raises(DataError, match=r"items\.parquet:1: text: over 1 MB"):
        list(items)


def test_a_population_without_its_catalogue_and_two_populations_are_errors(tmp_path: Path) -> None:
    write_users(tmp_path)
    with pytest.raises(DataError, match=r"no items\.parquet"):
        read_data(tmp_path)
    write_items(tmp_path)
    (tmp_path / "interactions.csv").write_text("user,item\na,i0\n", encoding="utf-8")
    with pytest.raises(DataError, match="both"):
        read_data(tmp_path)


def test_a_user_that_comes_twice_is_an_error(tmp_path: Path) -> None:
    write_items(tmp_path)
    write_users(tmp_path, user=["a", "b", "a"])
    with pytest.raises(DataError, match=r"population\.parquet:3: a user that came before"):
        read_data(tmp_path)


def test_texts_of_a_column_are_a_sequence() -> None:
    import pyarrow as pa

    texts = ArrowTexts(pa.chunked_array([["a", "b"], ["c"]]))
    assert (len(texts), texts[2], texts[-1], texts[1:], list(texts)) == (3, "c", "c", ("b", "c"), ["a", "b", "c"])
    assert texts == ("a", "b", "c") and texts != ("a", "b", "d") and hash(texts) == hash(("a", "b", "c"))
    assert texts.index("c") == 2
    with pytest.raises(ValueError, match="not among"):
        texts.index("d")
