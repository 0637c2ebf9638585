"""What is in the columns: times, ids, missing values, and items' columns that nobody has described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from source_cases import EVENTS, check_events

from fedrec.data import sources
from fedrec.data.frames import frame_table, parquet_table
from fedrec.data.schema import TEST
from fedrec.errors import DataError

read_data = partial(sources.read_data, catalogue_from_interactions=True)


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_of_every_unit(factor: int) -> None:
    times = [time * factor for time in EVENTS["timestamp"]]
    check_events(read_data({**EVENTS, "timestamp": times}))
    check_events(read_data(pl.DataFrame({**EVENTS, "timestamp": times})))


@pytest.mark.parametrize(
    "write",
    [
        lambda moment: moment.isoformat(),
        lambda moment: moment.strftime("%Y-%m-%d %H:%M:%S"),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.000+00:00"),
        lambda moment: moment,
        lambda moment: moment.replace(tzinfo=None),
    ],
)
def test_dates(write: Callable[[datetime], Any]) -> None:
    times = [write(datetime.fromtimestamp(time, UTC)) for time in EVENTS["timestamp"]]
    for make in (pd.DataFrame, pl.DataFrame, dict):
        found = read_data(make({**EVENTS, "timestamp": times}))
        check_events(found)
    days = [date(2020, 1, 1), date(2020, 1, 2)]
    found = read_data({"user": ["a", "a"], "item": ["x", "y"], "date": days})
    assert found.interactions.timestamp.tolist() == [1_577_836_800, 1_577_923_200]


def test_what_is_missing_is_missing_in_every_frame() -> None:
    holes: Mapping[str, list[Any]] = {
        "user": ["a", None, "b", "b"],
        "item": ["x", "x", "y", "x"],
        "rating": [1.0, 2.0, None, 4.0],
        "time": [5, 6, 7, None],
    }
    frames = [
        pd.DataFrame(holes),
        pd.DataFrame(holes).convert_dtypes(),
        pl.DataFrame(holes),
        pa.table(holes),
        {**holes, "rating": [1.0, 2.0, float("nan"), Decimal(4)]},
    ]
    for frame in frames:
        found = read_data(frame)
        assert found.users == ("a", "b") and len(found.interactions) == 3
        assert [(one.line, one.reason) for one in found.skipped] == [(2, "missing cell")]
        assert np.isnan(found.interactions.rating).tolist() == [False, False, True]
        assert found.interactions.timestamp.tolist() == [5, -1, 7]


def test_ids_are_the_same_text_whatever_they_are_held_as() -> None:
    held_as_floats = pd.DataFrame({"user": [1, 2, None], "item": [10, 11, 12]}).iloc[:2]
    assert held_as_floats["user"].dtype == float
    found = read_data(held_as_floats, items={"item": np.array([10, 11]), "title": np.array(["a", "b"])})
    assert found.users == ("1", "2") and found.skipped == ()
    assert [item.id for item in found.items] == ["10", "11"]
    categories = pd.DataFrame({"user": pd.Categorical(["u", "v"]), "item": pd.Series(["x", "y"], dtype="string")})
    assert read_data(categories).users == ("u", "v")
    assert read_data({"user": [2**60, 2**60 + 1], "item": [1, 2]}).users == (str(2**60), str(2**60 + 1))


def test_splits_of_a_frame() -> None:
    frame = pd.DataFrame({"user": list("aaa"), "item": list("xyz"), "split": ["train", "train", "test"]})
    assert read_data(frame).interactions.split.tolist()[-1] == TEST


def test_columns_of_items_by_what_is_in_them(tmp_path: Path) -> None:
    count = 200
    Image.new("RGB", (4, 4)).save(tmp_path / "p.png")
    items: Mapping[str, list[Any]] = {
        "id": list(range(count)),
        "name": [f"item {place}" for place in range(count)],
        "tags": [["a|b", "c"], [], *[["c"]] * (count - 2)],
        "keywords": ["red, blue; green", "red, blue", *["x"] * (count - 2)],
        "material": ["steel"] * count,
        "code": [f"c{place}" for place in range(count)],
        "nothing": [None] * count,
        "pageURL": ["http://x"] * count,
        "in_stock": [True, False] * (count // 2),
        "weight": [1.5, None] * (count // 2),
        "image": ["p.png", "gone.png", *[None] * (count - 2)],
        "num_sold": [3] * count,
        "attr_size": [7] * count,
    }
    pa.parquet.write_table(pa.table(items), tmp_path / "items.parquet")
    events = {"user": ["u", "u"], "item": [0, 1]}
    found = read_data(events, items=tmp_path / "items.parquet")
    assert found.items[0].attributes == {
        "tags": ("a|b", "c"),
        "keywords": ("red, blue", "green"),
        "material": ("steel",),
        "in_stock": ("true",),
        "size": ("7",),
    }
    assert found.items[1].attributes["keywords"] == ("red", "blue")
    assert found.items[0].numbers == {"weight": 1.5, "sold": 3}
    assert found.items[0].image == tmp_path / "p.png" and found.items[1].image is None
    assert [(one.line, one.reason) for one in found.skipped] == [(2, "no such image file, left out")]
    said = {one.column: (one.taken_as, one.note) for one in found.columns_taken if one.file == "items.parquet"}
    assert said["code"] == (None, "200 values for 200 items sort nothing")
    assert said["nothing"] == (None, "it is empty") and said["pageURL"] == (None, "it names things")
    assert str(found.columns_taken[2]) == "items.parquet: id is taken as item"


def not_utf8(text: bytes) -> pa.Array:
    """A column of one text that Arrow takes for UTF-8 and that is none."""
    ends = np.array([0, len(text)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(text)])


def test_texts_that_are_no_utf8_are_an_error_with_the_file(tmp_path: Path) -> None:
    table = pa.table({"user": not_utf8(b"a\x97b"), "item": ["i"]})
    with pytest.raises(DataError, match="that cannot be read"):
        frame_table(table, "events")
    pyarrow.parquet.write_table(table, tmp_path / "events.parquet")
    with pytest.raises(DataError, match=r"events\.parquet"):
        parquet_table(tmp_path / "events.parquet")


def test_a_column_whose_name_is_no_utf8_is_an_error_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    pyarrow.parquet.write_table(pa.table({"timestamp": ["1"], "item": ["i"]}), path, store_schema=False)
    path.write_bytes(path.read_bytes().replace(b"timestamp", b"timest\x97mp"))
    with pytest.raises(DataError, match=r"events\.parquet"):
        parquet_table(path)
