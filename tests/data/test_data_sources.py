"""Data in the shapes that people have it in: what is read of each, and what is said of what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from sources_cases import EVENTS, FILMS, FRAMES, check_events, check_films, lines, u_data

from fedrec.data.schema import TEST
from fedrec.data.sources import read_data
from fedrec.errors import ConfigError, DataError


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind: str) -> None:
    make = FRAMES[kind]
    found = read_data(make(EVENTS), items=make(FILMS), name="mine")
    check_events(found)
    check_films(found)
    assert found.name == "mine" and found.directory is None
    said = {(one.column, one.taken_as) for one in found.columns_taken}
    assert ("userId", "user") in said and ("movieId", "item") in said and ("imdbId", None) in said
    assert ("genres", "attribute genres") in said and ("minutes", "number minutes") in said
    assert repr(found) == "<Dataset 'mine': 3 users, 3 items, 5 interactions>"


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_without_items_gives_items_without_content(kind: str) -> None:
    found = read_data(FRAMES[kind](EVENTS))
    check_events(found)
    assert [(item.id, item.title) for item in found.items] == [("10", ""), ("11", ""), ("12", "")]


@pytest.mark.parametrize(
    ("user", "item", "rating", "time"),
    [
        ("user", "item", "rating", "timestamp"),
        ("user_id", "item_id", "score", "time"),
        ("uid", "iid", "stars", "ts"),
        ("User ID", "Product ID", "Overall", "Date"),
        ("user_id:token", "item_id:token", "rating:float", "timestamp:float"),
        ("reviewerID", "asin", "overall", "unixReviewTime"),
        ("CustomerID", "StockCode", "Rating", "InvoiceDate"),
    ],
)
def test_usual_names(user: str, item: str, rating: str, time: str) -> None:
    columns = dict(zip((user, item, rating, time), EVENTS.values(), strict=True))
    check_events(read_data({"comment": ["x"] * 5, **columns}))


def test_unusual_names_are_said() -> None:
    odd = dict(zip(("who", "what", "how much", "when"), EVENTS.values(), strict=True))
    with pytest.raises(DataError, match="no column for user, item"):
        read_data(odd)
    said = {"user": "who", "item": "what", "rating": "how much", "timestamp": "when"}
    check_events(read_data(pd.DataFrame(odd), columns=said))
    films = {"key" if name == "movieId" else name: column for name, column in FILMS.items()}
    with pytest.raises(DataError, match="no column for item"):
        read_data(odd, columns=said, items=films)
    check_films(read_data(odd, columns=said, items=films, item_columns={"item": "key"}))


def test_two_columns_that_could_be_the_user() -> None:
    twice = {**EVENTS, "user_id": EVENTS["userId"]}
    with pytest.raises(DataError, match="several columns could be the user") as caught:
        read_data(twice)
    assert "userId" in str(caught.value) and "columns" in caught.value.action
    check_events(read_data(twice, columns={"user": "user_id"}))


def test_parquet(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table(EVENTS), tmp_path / "events.parquet")
    pa.parquet.write_table(pa.table(FILMS), tmp_path / "films.pq")
    found = read_data(tmp_path / "events.parquet", items=str(tmp_path / "films.pq"))
    check_events(found)
    check_films(found)
    assert found.name == "events"
    assert found.columns_taken[0].file == "events.parquet"


@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("txt", "|")])
def test_delimited_text(tmp_path: Path, ending: str, mark: str) -> None:
    path = tmp_path / f"events.{ending}"
    pd.DataFrame(EVENTS).to_csv(path, sep=mark, index=False)
    films = tmp_path / f"films.{ending}"
    pd.DataFrame(FILMS).to_csv(films, sep=mark, index=False)
    found = read_data(path, items=films)
    check_events(found)
    check_films(found)


def test_movielens_100k(tmp_path: Path) -> None:
    u_data(tmp_path / "u.data")
    flags = ["0"] * 19
    rows = (
        ["10", "Café (1995)", "01-Jan-1995", "", "http://x", *flags[:6], "1", "0", "1", *flags[9:]],
        ["11", "unknown", "", "", "", "1", *flags[1:]],
        ["12", "Up (2009)", "", "", "", *flags[:-1], "1"],
    )
    lines(*("|".join(row) for row in rows), to=tmp_path / "u.item", encoding="latin-1")
    for source in (tmp_path, tmp_path / "u.data"):
        found = read_data(source)
        check_events(found, rated=False)
        assert [item.title for item in found.items] == ["Café (1995)", "unknown", "Up (2009)"]
        assert [dict(item.attributes) for item in found.items] == [
            {"genres": ("Crime", "Drama")},
            {},
            {"genres": ("Western",)},
        ]
        assert found.name == tmp_path.name
    (tmp_path / "u.item").unlink()
    assert [item.title for item in read_data(tmp_path).items] == ["", "", ""]


def test_movielens_1m(tmp_path: Path) -> None:
    rows = zip(*EVENTS.values(), strict=True)
    lines(*("::".join(map(str, row)) for row in rows), to=tmp_path / "ratings.dat")
    lines(
        "10::Misérables, Les: Part 1 (1995)::Drama|Musical",
        "11::Alien (1979)::Horror",
        "12::Up (2009)::Comedy",
        to=tmp_path / "movies.dat",
        encoding="latin-1",
    )
    found = read_data(tmp_path / "ratings.dat")
    check_events(found)
    assert found.items[0].title == "Misérables, Les: Part 1 (1995)"
    assert found.items[0].attributes == {"genres": ("Drama", "Musical")}


def test_movielens_latest(tmp_path: Path) -> None:
    pd.DataFrame(EVENTS).to_csv(tmp_path / "ratings.csv", index=False)
    films = {"movieId": [10, 11, 12], "title": ['Heat, "The" (1995)', "Alien", "Up"]}
    genres = ["Crime|Drama", "(no genres listed)", "Comedy"]
    pd.DataFrame({**films, "genres": genres}).to_csv(tmp_path / "movies.csv", index=False)
    for source in (str(tmp_path), tmp_path / "ratings.csv"):
        found = read_data(source)
        check_events(found)
        assert found.items[0].title == 'Heat, "The" (1995)'
        assert [dict(item.attributes) for item in found.items] == [
            {"genres": ("Crime", "Drama")},
            {},
            {"genres": ("Comedy",)},
        ]
    check_films(read_data(tmp_path, items=pd.DataFrame(FILMS)))


def test_atomic_files_by_name(tmp_path: Path) -> None:
    for name, label in (("one", "9"), ("two", "8")):
        lines("user_id:token\titem_id:token\ttimestamp:float", f"u\t{label}\t5", to=tmp_path / f"{name}.inter")
    assert read_data(tmp_path / "two.inter").items[0].id == "8"
    assert {one.taken_as for one in read_data(tmp_path / "one.inter").columns_taken} == {"user", "item", "timestamp"}


def test_a_data_directory_is_read_as_ever(write_directory: Callable[..., Path]) -> None:
    from fedrec.data.reader import read_dataset

    directory = write_directory()
    found, known = read_data(directory), read_dataset(directory)
    assert found.items == known.items and found.users == known.users
    np.testing.assert_array_equal(found.interactions.item, known.interactions.item)
    taken = {(one.file, one.column): one.taken_as for one in found.columns_taken}
    assert taken["interactions.csv", "user"] == "user"
    assert taken["items.csv", "attr_fit"] == "attribute fit"
    assert taken["items.csv", "price"] == "number price"
    assert taken["items.csv", "n_inter"] is None
    assert read_data(found) is found
    assert read_data(found, name="other").name == "other"
    for arguments in ({"items": FILMS}, {"columns": {"user": "user"}}, {"item_columns": {"item": "item"}}):
        with pytest.raises(ConfigError):
            read_data(directory, **arguments)  # type: ignore[arg-type]
        with pytest.raises(ConfigError):
            read_data(found, **arguments)  # type: ignore[arg-type]


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
