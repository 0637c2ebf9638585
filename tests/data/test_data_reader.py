"""Reading a data directory: the good rows arrive, the bad ones are counted with file, line and reason."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedrec.data import tables
from fedrec.data.interactions_table import repeated
from fedrec.data.reader import read_dataset
from fedrec.data.schema import TEST, TRAIN, UNSPLIT, VALID, Dataset, Interactions, Skipped
from fedrec.data.tally import MAX_TEXT_BYTES
from fedrec.errors import DataError

WriteDirectory = Callable[..., Path]


def rows(dataset: Dataset) -> list[tuple[str, str]]:
    table = dataset.interactions
    return [
        (dataset.users[user], dataset.items[item].id)
        for user, item in zip(table.user.tolist(), table.item.tolist(), strict=True)
    ]


def good_rows(count: int, start: int = 0) -> str:
    return "".join(f"good{k},a,3,{k + 1}\n" for k in range(start, start + count))


HEADER = "user,item,rating,timestamp\n"


def test_a_good_directory_arrives_whole_and_in_time_order(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory())
    assert dataset.users == ("ann", "bob")
    assert [item.id for item in dataset.items] == ["a", "b", "c", "d"]
    assert rows(dataset) == [
        ("ann", "a"), ("ann", "c"), ("ann", "b"), ("bob", "c"), ("bob", "a"), ("bob", "d"), ("bob", "b"),
    ]  # fmt: skip
    table = dataset.interactions
    assert table.timestamp.tolist() == [100, 200, 300, 50, 60, 70, 80]
    assert table.rating.tolist() == [5, 3, 4, 1, 2, 5, 4]
    assert set(table.split.tolist()) == {UNSPLIT}
    kinds = (table.user.dtype, table.item.dtype, table.rating.dtype, table.timestamp.dtype, table.split.dtype)
    assert [kind.name for kind in kinds] == ["int32", "int32", "float32", "int64", "int8"]
    assert dataset.name == "set"
    assert dataset.evaluation is None


def test_only_declared_columns_become_attributes_and_numbers(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory())
    apple, bread, cheese, dates = dataset.items
    assert apple.attributes == {"genres": ("Fruit", "Red"), "brand": ("Orchard",)}
    assert apple.numbers == {"price": 1.5, "grams": 120.0}
    assert bread.attributes == {"genres": ("Bakery",), "fit": ("loose",)}
    assert cheese.attributes == {"genres": ("Dairy", "Hard"), "brand": ("Dale",)}
    assert (cheese.text, dates.text) == ("", "Sweet")
    assert cheese.numbers == {}
    assert dataset.skipped == (Skipped("items.csv", 4, "price is not a finite number, left out"),)


def test_split_column_and_missing_optional_columns(write_directory: WriteDirectory) -> None:
    text = "split,item,user\ntrain,a,u\nvalid,b,u\ntest,c,u\n,d,u\n"
    table = read_dataset(write_directory(interactions_csv=text)).interactions
    assert table.split.tolist() == [TRAIN, VALID, TEST, UNSPLIT]
    assert table.timestamp.tolist() == [-1] * 4
    assert np.isnan(table.rating).all()


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("u,nowhere,3,5", "unknown item"),
        ("u,a,3,-1", "negative timestamp"),
        ("u,a,3,-0.5", "negative timestamp"),
        ("u,a,3,soon", "timestamp is not a finite number"),
        ("u,a,3,inf", "timestamp is not a finite number"),
        ("u,a,3,874965478000", "timestamp after the year 9999 (not in seconds?)"),
        ("u,a,nan,5", "rating is not a finite number"),
        ("u,a,-inf,5", "rating is not a finite number"),
        ("u,a,1e39,5", "rating is not a finite number"),
        ("u,a,five,5", "rating is not a finite number"),
        (",a,3,5", "missing cell"),
        ("u,,3,5", "missing cell"),
        ("u,a,3", "missing cell"),
        ("u,a,3,5,6", "more cells than the header"),
        ("good1,a,3,2", "duplicate row"),
    ],
)
def test_a_bad_row_is_counted_and_the_rest_is_kept(write_directory: WriteDirectory, bad: str, reason: str) -> None:
    text = HEADER + good_rows(3) + bad + "\n" + good_rows(3, start=3)
    dataset = read_dataset(write_directory(interactions_csv=text))
    assert dataset.skipped[-1] == Skipped("interactions.csv", 5, reason)
    assert sum(entry.file == "interactions.csv" for entry in dataset.skipped) == 1
    assert rows(dataset) == [(f"good{k}", "a") for k in range(6)]
    assert dataset.users == tuple(f"good{k}" for k in range(6))


def test_lines_are_right_after_blank_lines_and_quoted_line_breaks(write_directory: WriteDirectory) -> None:
    text = 'user,item\n"two\nlines",a\n\nu,a\n"u\nv",nowhere\nv,a\nw,nowhere\n'
    dataset = read_dataset(write_directory(interactions_csv=text))
    assert dataset.users == ("two\nlines", "u", "v")
    assert [entry.line for entry in dataset.skipped if entry.reason == "unknown item"] == [6, 9]


def test_lines_are_right_in_later_chunks(write_directory: WriteDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 4)
    text = HEADER + good_rows(9) + "u,nowhere,1,1\n" + good_rows(1) + good_rows(4, start=9)
    dataset = read_dataset(write_directory(interactions_csv=text))
    assert [(entry.line, entry.reason) for entry in dataset.skipped[1:]] == [
        (11, "unknown item"),
        (12, "duplicate row"),
    ]
    assert rows(dataset) == [(f"good{k}", "a") for k in range(13)]


def test_empty_cells_of_optional_columns_mean_unknown(write_directory: WriteDirectory) -> None:
    text = HEADER + "u,a,,\nu,b,2,\nu,c,,7.9\n"
    table = read_dataset(write_directory(interactions_csv=text)).interactions
    assert table.timestamp.tolist() == [-1, -1, 7]
    np.testing.assert_array_equal(table.rating, np.array([np.nan, 2, np.nan], dtype=np.float32))


def test_the_same_item_at_another_time_is_no_duplicate(write_directory: WriteDirectory) -> None:
    text = HEADER + "u,a,3,1\nu,a,3,2\nu,a,4,2\nu,a,,2\nu,a,,2\n"
    dataset = read_dataset(write_directory(interactions_csv=text))
    assert len(dataset.interactions) == 4
    assert dataset.skipped[-1] == Skipped("interactions.csv", 6, "duplicate row")


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.sampled_from([1.0, np.nan]), st.integers(-1, 0),
                          st.integers(-1, 1)), max_size=30))  # fmt: skip
def test_repeated_marks_all_but_the_first_of_equal_rows(cells: list[tuple[int, int, float, int, int]]) -> None:
    columns = list(zip(*cells, strict=True)) or [()] * 5
    user, item, rating, timestamp, split = columns
    table = Interactions(
        np.array(user, np.int32), np.array(item, np.int32), np.array(rating, np.float32),
        np.array(timestamp, np.int64), np.array(split, np.int8),
    )  # fmt: skip
    seen: set[str] = set()
    expected = []
    for cell in cells:
        expected.append(repr(cell) in seen)
        seen.add(repr(cell))
    assert repeated(table).tolist() == expected


ids = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(ids, ids, st.integers(0, 10), st.integers(0, 10**9)), min_size=1, max_size=20, unique=True))
def test_any_written_directory_reads_back(
    tmp_path_factory: pytest.TempPathFactory, written: list[tuple[str, str, int, int]]
) -> None:
    directory = tmp_path_factory.mktemp("any")
    with (directory / "interactions.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("user", "item", "rating", "timestamp"), *written])
    catalogue = dict.fromkeys(item for _, item, _, _ in written)
    with (directory / "items.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("item", "title"), *((item, f"title of {item}") for item in catalogue)])
    dataset = read_dataset(directory)
    assert dataset.skipped == ()
    assert dataset.users == tuple(dict.fromkeys(user for user, _, _, _ in written))
    by_user = sorted(written, key=lambda row: (dataset.users.index(row[0]), row[3]))
    assert rows(dataset) == [(user, item) for user, item, _, _ in by_user]
    assert dataset.interactions.timestamp.tolist() == [time for _, _, _, time in by_user]
    assert [item.title for item in dataset.items] == [f"title of {item}" for item in catalogue]


@pytest.mark.parametrize(
    ("files", "name", "line", "words"),
    [
        ({"interactions_csv": ""}, "interactions.csv", 1, "empty"),
        ({"interactions_csv": "\n\n"}, "interactions.csv", 1, "empty"),
        ({"interactions_csv": HEADER}, "interactions.csv", 1, "no rows"),
        ({"items_csv": ""}, "items.csv", 1, "empty"),
        ({"items_csv": "item,title\n"}, "items.csv", 1, "no rows"),
        ({"items_csv": None}, "interactions.csv", None, "no list of items"),
        ({"interactions_csv": "person,item\nu,a\n"}, "interactions.csv", 1, "wrong header: no column user"),
        ({"interactions_csv": "1,a,3,4\n"}, "interactions.csv", 1, "wrong header"),
        ({"items_csv": "item;title\na;Apple\n"}, "items.csv", 1, "wrong header"),
        ({"interactions_csv": "user,item,item\nu,a,b\n"}, "interactions.csv", 1, "twice"),
        ({"items_csv": "item,title,brand,attr_brand\na,A,x,y\n"}, "items.csv", 1, "same field"),
        ({"interactions_csv": b"user,item\nu,a\nv,\xff\n"}, "interactions.csv", 3, "UTF-8"),
        ({"items_csv": b"\xff\xfei\x00t\x00"}, "items.csv", 1, "UTF-8"),
        ({"items_csv": 'item,title\na,A\nb,"never closed\nc,C\n'}, "items.csv", 3, "broken quoting"),
        ({"items_csv": 'item,title\na,"so" it goes\n'}, "items.csv", 2, "broken quoting"),
        ({"interactions_csv": "user,item\nu,x\nu,y\nu,a\n"}, "interactions.csv", 2, "2 of 3 rows are unusable"),
        ({"interactions_csv": "user,item\nu\nv\n"}, "interactions.csv", 2, "missing cell"),
        ({"interactions_csv": "user,item\nu,a\nu,a\nu,a\n"}, "interactions.csv", 3, "duplicate row"),
        ({"notes_csv": "user\nann\n"}, "notes.csv", 1, "no column text"),
        ({"notes_csv": ""}, "notes.csv", 1, "empty"),
        ({"users_csv": "name\nann\n"}, "users.csv", 1, "no column user"),
        ({"loo_99neg_csv": "user,test_item\nann,a\n"}, "loo_99neg.csv", 1, "valid_item, negatives"),
    ],
)  # fmt: skip
def test_a_wrong_structure_names_file_and_line(
    write_directory: WriteDirectory, files: dict[str, str | bytes | None], name: str, line: int | None, words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_dataset(write_directory(**files))
    assert caught.value.path.name == name
    assert caught.value.line == line
    assert str(caught.value).startswith(f"[data] {name}{'' if line is None else f':{line}'}: ")


def test_half_of_the_rows_bad_is_still_read(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(interactions_csv="user,item\nu,x\nu,a\n"))
    assert rows(dataset) == [("u", "a")]


def test_directories_without_a_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data directory"):
        read_dataset(tmp_path / "missing")
    with pytest.raises(DataError, match="no data set"):
        read_dataset(tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(interactions_csv=b"\xef\xbb\xbfuser,item\r\nu,a\r\n"))
    assert rows(dataset) == [("u", "a")]


def test_a_text_of_10_mb_is_cut_between_characters_and_recorded(write_directory: WriteDirectory) -> None:
    text = "\N{SNOWMAN}" * 3_500_000
    dataset = read_dataset(write_directory(items_csv=f"item,title,text\na,A,{text}\nb,B,short\n"))
    kept = dataset.items[0].text
    assert MAX_TEXT_BYTES - 3 < len(kept.encode()) <= MAX_TEXT_BYTES
    assert set(kept) == {"\N{SNOWMAN}"}
    assert Skipped("items.csv", 2, "text over 1 MB, cut") in dataset.skipped


def test_duplicate_items_count_once(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(
        write_directory(
            interactions_csv="user,item\nu,a\n", items_csv="item,title\na,First\na,Second\nb,B\n,Nameless\n"
        )
    )
    assert [item.title for item in dataset.items] == ["First", "B"]
    assert dataset.skipped == (Skipped("items.csv", 3, "duplicate item"), Skipped("items.csv", 5, "missing cell"))


def test_pictures_are_found_by_item_and_empty_or_stray_ones_are_recorded(write_directory: WriteDirectory) -> None:
    directory = write_directory()
    images = directory / "images"
    images.mkdir()
    for name, raw in {"a.jpg": b"x", "a.png": b"x", "b.PNG": b"x", "c.jpg": b"", "z.jpg": b"x", "d.txt": b"x"}.items():
        (images / name).write_bytes(raw)
    dataset = read_dataset(directory)
    assert [item.image for item in dataset.items] == [images / "a.jpg", images / "b.PNG", None, None]
    assert {entry for entry in dataset.skipped if entry.file.startswith("images/")} == {
        Skipped("images/c.jpg", 0, "zero-byte picture"),
        Skipped("images/z.jpg", 0, "picture of an unknown item"),
    }


def test_reading_holds_one_chunk_of_rows_at_a_time(
    write_directory: WriteDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "CHUNK_ROWS", 1000)
    count = 40_000
    body = "user,item,timestamp\n" + "".join(f"u{k % 300},{'abcd'[k % 4]},{k}\n" for k in range(count))
    directory = write_directory(interactions_csv=body)
    tracemalloc.start()
    dataset = read_dataset(directory)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(dataset.interactions) == count
    # A row of three text cells costs about 300 bytes as Python objects; its columns, joined and sorted, 135.
    assert peak < 200 * count
