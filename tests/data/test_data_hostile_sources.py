"""What cannot be read, or not wholly: what is said of it, and that nothing is lost without a word."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from source_cases import EVENTS, lines, u_data

from fedrec.data import sources
from fedrec.errors import ConfigError, DataError

read_data = partial(sources.read_data, catalogue_from_interactions=True)


def hostile_rows() -> Mapping[str, list[Any]]:
    good = 40
    return {
        "user": ["u", "", "u", "u", "u", "u", *["u"] * good],
        "item": ["a", "a", "nowhere", "a", "a", "a", *["b", "c"] * (good // 2)],
        "rating": ["5", "5", "5", "much", "5", "inf", *["1"] * good],
        "timestamp": ["1", "1", "1", "1", "yesterday", "1", *[str(100 + place) for place in range(good)]],
    }


def test_hostile_rows_are_left_out_and_named(tmp_path: Path) -> None:
    reasons = [
        (2, "missing cell"),
        (3, "unknown item"),
        (4, "rating is not a finite number"),
        (5, "timestamp is not a finite number"),
        (6, "rating is not a finite number"),
    ]
    items = {"item": list("abc"), "title": list("ABC")}
    found = read_data(pd.DataFrame(hostile_rows()), items=items)
    assert sorted((one.line, one.reason) for one in found.skipped) == reasons
    pd.DataFrame(hostile_rows()).to_csv(tmp_path / "e.csv", index=False)
    found = read_data(tmp_path / "e.csv", items=items)
    assert sorted((one.file, one.line, one.reason) for one in found.skipped) == [
        ("e.csv", line + 1, reason) for line, reason in reasons
    ]
    with pytest.raises(DataError, match="interactions DataFrame:2: 46 of 46 rows are unusable, most often: unknown it"):
        read_data(pd.DataFrame(hostile_rows()), items={"item": ["z"], "title": ["Z"]})


HOSTILE_FILES: Mapping[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "empty.csv:1: the file is empty"),
    "header.csv": (b"user,item\n", "header.csv:1: a header and no rows"),
    "none.csv": (b"a,b\n1,2\n", "none.csv: no column for user, item: found a, b"),
    "quote.csv": (b'user,item\nu,"a\n', "quote.csv:2: broken quoting"),
    "latin.csv": (b"user,item\nu,caf\xe9\n", "latin.csv:2: not UTF-8 text"),
    "nul.parquet": (b"PAR1\0\0\0\0", "nul.parquet: no readable Parquet file"),
    "text.parquet": (b"user,item\n", "text.parquet: no readable Parquet file"),
    "events.xlsx": (b"PK", "events.xlsx: it is not known how to read a file of this kind"),
    "u.data": (b"1 2 3 4\n1 2 3 4\n", "u.data:1: 2 of 2 rows are unusable, most often: missing cell"),
    "ratings.dat": (b"1::2::3::4::5\n\n", "ratings.dat:1: 1 of 1 rows are unusable, most often: more cells"),
    "ratings.csv": (b"userId,rating\n1,2\n", "ratings.csv: no column for item"),
    "x.inter": (b"user_id:token\titem:what\n", "x.inter:1: unknown column type"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_hostile_files(tmp_path: Path, name: str) -> None:
    content, message = HOSTILE_FILES[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_data(tmp_path / name)
    assert message in str(caught.value)


def test_hostile_films(tmp_path: Path) -> None:
    u_data(tmp_path / "u.data")
    lines("10|Heat", to=tmp_path / "u.item")
    with pytest.raises(DataError, match=r"u\.item:1: 1 of 1 rows are unusable, most often: missing cell"):
        read_data(tmp_path)
    pd.DataFrame(EVENTS).to_csv(tmp_path / "ratings.csv", index=False)
    lines("id,name", "10,Heat", to=tmp_path / "movies.csv")
    with pytest.raises(DataError, match=r"movies\.csv:1: wrong header: no column movieId"):
        read_data(tmp_path / "ratings.csv")


def test_hostile_sources(tmp_path: Path) -> None:
    for source in (3, None, [("u", "a")], pd.Series([1]), pl.LazyFrame(EVENTS), {}, {"user": "abc", "item": "abc"}):
        with pytest.raises(DataError):
            read_data(source)  # type: ignore[arg-type]
    assert "collect()" in caught_by(pl.LazyFrame(EVENTS))
    assert "different lengths" in caught_by({"user": ["a"], "item": ["x", "y"]})
    assert "same name" in caught_by(pd.DataFrame([["a", "x", "y"]], columns=["user", "item", "item"]))
    assert "no such file" in caught_by(tmp_path / "gone.csv")
    assert "no data set in this directory" in caught_by(tmp_path)
    assert "a header and no rows" in caught_by(pd.DataFrame(EVENTS).iloc[:0])
    with pytest.raises(ConfigError, match="no such part"):
        read_data(EVENTS, columns={"usr": "userId"})
    with pytest.raises(DataError, match="no column for user"):
        read_data(EVENTS, columns={"user": "nobody"})
    with pytest.raises(ConfigError, match="no items are given"):
        read_data(EVENTS, item_columns={"item": "movieId"})


def caught_by(source: Any) -> str:
    with pytest.raises(DataError) as caught:
        read_data(source)
    return str(caught.value)


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ConfigError, match="pyarrow") as caught:
        read_data(tmp_path / "e.parquet")
    assert "[data]" in caught.value.action


def test_hostile_text_comes_through_as_text() -> None:
    odd = ["a\0b", "x\ud800", "<script>", "  ", "=1+1", "\u202eabc"]
    found = read_data({"user": odd, "item": ["i"] * 6}, items={"item": ["i"], "title": ["<b>\x1f|"]})
    assert found.users == tuple(odd)
    assert found.items[0].title == "<b>\x1f|"
