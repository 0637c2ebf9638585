"""``fedrec data import``: data of many shapes, each by one command, and what each column was taken for."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import typer
from source_cases import EVENTS, FILMS, check_events, check_films, lines, u_data
from typer.testing import CliRunner

import fedrec
import fedrec.cli.data
from fedrec.data.import_files import import_files
from fedrec.data.json_lines import JsonLinesTable
from fedrec.data.schema import Dataset
from fedrec.data.tally import Tally
from fedrec.data.write_directory import write_directory
from fedrec.errors import ConfigError, DataError


def imported(files: Sequence[Path], out: Path, **columns: str) -> Dataset:
    """The data set that was written, read back."""
    import_files(files, out, columns=columns, item_columns={})
    return fedrec.read_data(out)


def delimited(folder: Path, mark: str, ending: str) -> list[Path]:
    def table(name: str, columns: Any) -> Path:
        rows = zip(*columns.values(), strict=True)
        return lines(mark.join(columns), *(mark.join(map(str, row)) for row in rows), to=folder / f"{name}{ending}")

    return [table("events", EVENTS), table("films", FILMS)]


def parquet(folder: Path) -> list[Path]:
    for name, columns in (("events", EVENTS), ("films", FILMS)):
        pyarrow.parquet.write_table(pa.table(dict(columns)), folder / f"{name}.parquet")
    return [folder / "films.parquet", folder / "events.parquet"]


def json_lines(folder: Path) -> list[Path]:
    def table(name: str, columns: Any) -> Path:
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        return lines(*map(json.dumps, rows), to=folder / f"{name}.jsonl")

    return [table("events", EVENTS), table("films", FILMS)]


def iso_dates(folder: Path) -> list[Path]:
    events = pd.DataFrame(EVENTS)
    events["timestamp"] = pd.to_datetime(events["timestamp"], unit="s", utc=True).map(lambda moment: moment.isoformat())
    events.to_csv(folder / "events.csv", index=False)
    return [folder / "events.csv", delimited(folder, ";", ".tsv")[1]]


def milliseconds(folder: Path) -> list[Path]:
    events, films = delimited(folder, ",", ".csv")
    frame = pd.read_csv(events)
    frame["timestamp"] *= 1000
    frame.to_csv(events, index=False)
    return [events, films]


SHAPES: dict[str, Callable[[Path], list[Path]]] = {
    "comma": lambda folder: delimited(folder, ",", ".csv"),
    "semicolon": lambda folder: delimited(folder, ";", ".csv"),
    "tab": lambda folder: delimited(folder, "\t", ".tsv"),
    "Parquet, items first": parquet,
    "JSON lines": json_lines,
    "ISO dates": iso_dates,
    "milliseconds": milliseconds,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_files_of_events_and_films(shape: str, tmp_path: Path) -> None:
    found = imported(SHAPES[shape](tmp_path), tmp_path / "out")
    check_events(found)
    check_films(found)


def test_movielens_as_it_is_downloaded(tmp_path: Path) -> None:
    small, large, latest = (tmp_path / name for name in ("ml-100k", "ml-1m", "ml-latest-small"))
    for folder in (small, large, latest):
        folder.mkdir()
    u_data(small / "u.data")
    genres = "|".join(["0"] * 5 + ["1"] + ["0"] * 13)
    films = [
        f"{film}|{title}|01-Jan-1995||http://x|{genres}" for film, title in ((10, "Heat"), (11, "Alien"), (12, "Up"))
    ]
    lines(*films, to=small / "u.item", encoding="latin-1")
    rows = list(zip(*EVENTS.values(), strict=True))
    lines(*(f"{u}::{i}::{int(r)}::{t}" for u, i, r, t in rows), to=large / "ratings.dat")
    lines("10::Heat (1995)::Crime|Drama", "11::Alien (1979)::Horror", "12::Up::Comedy", to=large / "movies.dat")
    lines("userId,movieId,rating,timestamp", *(",".join(map(str, row)) for row in rows), to=latest / "ratings.csv")
    lines("movieId,title,genres", "10,Heat,Crime|Drama", "11,Alien,Horror", "12,Up,Comedy", to=latest / "movies.csv")
    for folder in (small, large, latest):
        found = imported([folder], tmp_path / "out" / folder.name)
        check_events(found, rated=folder == latest)
        assert [item.title.split(" (")[0] for item in found.items] == ["Heat", "Alien", "Up"]
        assert found.items[1].attributes["genres"]


def test_recbole_and_mmrec(tmp_path: Path) -> None:
    rows = list(zip(*EVENTS.values(), strict=True))
    lines(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
        *("\t".join(map(str, row)) for row in rows),
        to=tmp_path / "films.inter",
    )
    lines("item_id:token\ttitle:token_seq\tclass:token_seq", "10\tHeat\tCrime", "11\tAlien\tHorror", "12\tUp\tComedy",
          to=tmp_path / "films.item")  # fmt: skip
    check_events(imported([tmp_path / "films.inter"], tmp_path / "out"))
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.save(tmp_path / "image_feat.npy", features)
    import_files([tmp_path], tmp_path / "both", columns={}, item_columns={})
    written = np.load(tmp_path / "both" / "features" / "image.npy")
    assert np.array_equal(written, features)
    assert (tmp_path / "both" / "features" / "ids.txt").read_text().split() == ["10", "11", "12"]


def test_columns_of_unusual_names_are_said(tmp_path: Path) -> None:
    odd = dict(zip(("who", "what", "how much", "when"), EVENTS.values(), strict=True))
    pd.DataFrame(odd).to_csv(tmp_path / "odd.csv", index=False)
    pd.DataFrame(FILMS).to_csv(tmp_path / "films.csv", index=False)
    files = [tmp_path / "films.csv", tmp_path / "odd.csv"]
    words = {"user": "who", "item": "what", "rating": "how much", "timestamp": "when"}
    check_events(imported(files, tmp_path / "out", **words))
    with pytest.raises(DataError, match="name the column with --user"):
        imported(files, tmp_path / "other")


def test_sentences_become_text_and_a_words_own_does_not(tmp_path: Path) -> None:
    count = 60
    films = pd.DataFrame(
        {
            "item": range(count),
            "title": [f"film {place}" for place in range(count)],
            "critique": [f"It is the film number {place}, and good" for place in range(count)],
            "slug": [f"film-{place}" for place in range(count)],
        }
    )
    films.to_csv(tmp_path / "films.csv", index=False)
    pd.DataFrame({"user": [1, 1], "item": [3, 4]}).to_csv(tmp_path / "events.csv", index=False)
    found = imported([tmp_path / "events.csv", tmp_path / "films.csv"], tmp_path / "out")
    assert found.items[7].text == "It is the film number 7, and good"
    assert "slug" not in found.items[7].attributes


def test_the_shop_comes_back_as_it_was(tmp_path: Path) -> None:
    fedrec.make_shop(tmp_path / "shop", users=20, items=140, seed=1)
    shop = fedrec.read_data(tmp_path / "shop")
    assert write_directory(shop, tmp_path / "again") == []
    again = fedrec.read_data(tmp_path / "again")
    assert again.users == shop.users and again.notes == shop.notes
    for name in ("user", "item", "rating", "timestamp", "split"):
        assert np.array_equal(getattr(again.interactions, name), getattr(shop.interactions, name), equal_nan=True)
    without = [[replace(item, image=None, sound=None, frames=()) for item in data.items] for data in (shop, again)]
    assert without[0] == without[1]
    for before, after in zip(shop.items, again.items, strict=True):
        for part in ("image", "sound"):
            mine, theirs = getattr(before, part), getattr(after, part)
            assert (mine is None) == (theirs is None)
            assert mine is None or mine.read_bytes() == theirs.read_bytes()
    assert {user: len(files) for user, files in again.photos.items()} == {
        user: len(files) for user, files in shop.photos.items()
    }


def test_an_id_that_leads_elsewhere_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"jpg")
    pd.DataFrame({"user": [1, 1], "item": ["../x", "a|b"]}).to_csv(tmp_path / "events.csv", index=False)
    films = {"item": ["../x", "a|b"], "title": ["x", "y"], "image": ["p.jpg", "p.jpg"], "tags": ["one", "two"]}
    pd.DataFrame(films).to_csv(tmp_path / "films.csv", index=False)
    done = import_files(
        [tmp_path / "events.csv", tmp_path / "films.csv"], tmp_path / "out", columns={}, item_columns={}
    )
    assert [sentence[:16] for sentence in done.changed] == ["1 files are left"]
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["a|b.jpg"]
    assert [item.id for item in fedrec.read_data(tmp_path / "out").items] == ["../x", "a|b"]


def test_nothing_is_overwritten_and_nothing_is_left_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = delimited(tmp_path, ",", ".csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(ConfigError, match="already"):
        imported(files, tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "kept"

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device", "items.csv")

    monkeypatch.setattr("fedrec.data.write_directory.csv.writer", full)
    with pytest.raises(DataError, match="No space left"):
        imported(files, tmp_path / "new")
    assert not list(tmp_path.glob("new*"))


def test_a_line_that_is_no_object_is_counted(tmp_path: Path) -> None:
    path = lines(
        '{"user": 1, "item": "a"}', "", "[1]", '{"user": 2', '{"item": "b", "user": null}', to=tmp_path / "x.jsonl"
    )
    table, tally = JsonLinesTable(path), Tally(path, skipped := [])
    chunk = next(iter(table.chunks(tally)))
    assert table.header == ("user", "item") and chunk.lines.tolist() == [1, 5]
    assert [list(column) for column in chunk.columns] == [["1", ""], ["a", "b"]]
    assert [(one.line, one.reason) for one in skipped] == [(3, "no JSON object"), (4, "no JSON object")]
    with pytest.raises(DataError, match="no JSON object in it"):
        JsonLinesTable(lines("1", "2", to=tmp_path / "none.jsonl"))
    (tmp_path / "latin.jsonl").write_bytes(b'{"user": "caf\xe9"}\n')
    with pytest.raises(DataError, match="not UTF-8"):
        JsonLinesTable(tmp_path / "latin.jsonl")


def test_the_command_says_what_each_column_was_taken_for(tmp_path: Path) -> None:
    app = typer.Typer()
    fedrec.cli.data.register(app)
    files = [str(path) for path in json_lines(tmp_path)]
    told = CliRunner().invoke(app, ["data", "import", *files, "--out", str(tmp_path / "a"), "--json"])
    assert told.exit_code == 0, told.output
    facts = json.loads(told.stdout)
    taken = {one["column"]: one["taken_as"] for one in facts["columns"]}
    assert taken["userId"] == "user" and taken["minutes"] == "number minutes" and taken["imdbId"] is None
    assert (facts["users"], facts["items"], facts["interactions"]) == (3, 3, 5)
    assert "5 ratings from 1 to 5" in facts["notes"][0]
    shown = CliRunner().invoke(app, ["data", "import", *files, "--out", str(tmp_path / "b")])
    assert "attribute genres" in shown.stdout and "3 users, 3 items" in shown.stdout
