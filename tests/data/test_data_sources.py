"""Data in the shapes that people have it in: what is read of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from source_cases import EVENTS, FILMS, FRAMES, check_events, check_films, lines, u_data

from fedrec.data import sources
from fedrec.errors import ConfigError, DataError

read_data = partial(sources.read_data, catalogue_from_interactions=True)


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
