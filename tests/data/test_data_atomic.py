"""RecBole's and MMRec's files, written here by hand in their formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fedrec.data.atomic import read_atomic
from fedrec.data.reader import read_dataset
from fedrec.data.schema import TEST, TRAIN, VALID, Skipped
from fedrec.data.splits import split
from fedrec.errors import DataError

INTER = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "7\tx\t3\t20.0\n7\ty\t4\t10.0\n8\tz\t5\t30\n8\tnowhere\t1\t1\n"
)
ITEM = (
    "item_id:token\tmovie_title:token_seq\tclass:token_seq\tstudio:token\tbudget:float\tvector:float_seq\n"
    'x\tThe "X" Files\tDrama War\tBig House\t1.5\t1 2 3\n'
    "y\tWhy\tSlice of Life, Comedy\t\t\t\n"
    "z\tZed\t\tSmall\tinf\t\n"
)


def write(directory: Path, **files: str) -> Path:
    for suffix, text in files.items():
        (directory / f"films.{suffix}").write_text(text, encoding="utf-8")
    return directory


def test_recbole_files(tmp_path: Path) -> None:
    dataset = read_dataset(write(tmp_path, inter=INTER, item=ITEM, user="user_id:token\tage:float\n9\t30\n7\t20\n"))
    assert dataset.name == "films"
    assert dataset.users == ("7", "8", "9")
    assert dataset.interactions.item.tolist() == [1, 0, 2]
    assert dataset.interactions.timestamp.tolist() == [10, 20, 30]
    x, y, z = dataset.items
    assert x.title == 'The "X" Files'
    assert x.attributes == {"class": ("Drama", "War"), "studio": ("Big House",)}
    assert x.numbers == {"budget": 1.5}
    assert y.attributes == {"class": ("Slice of Life", "Comedy")}
    assert (z.attributes, z.numbers) == ({"studio": ("Small",)}, {})
    assert dataset.skipped == (
        Skipped("films.item", 4, "budget is not a finite number, left out"),
        Skipped("films.inter", 5, "unknown item"),
    )


def test_without_an_item_file_the_items_are_those_that_occur(tmp_path: Path) -> None:
    dataset = read_atomic(write(tmp_path, inter=INTER), catalogue_from_interactions=True)
    assert [item.id for item in dataset.items] == ["x", "y", "z", "nowhere"]
    assert len(dataset.interactions) == 4
    assert dataset.skipped == ()


MMREC = (
    "userID\titemID\trating\ttimestamp\tx_label\n"
    "0\t2\t5.0\t1\t0\n0\t0\t4.0\t2\t1\n0\t1\t4.0\t3\t2\n"
    "1\t9\t1.0\t4\t0\n1\t0\t1.0\t4\t7\n1\t0\t1.0\t4\t0\n"
)


def test_mmrec_files(tmp_path: Path) -> None:
    np.save(tmp_path / "image_feat.npy", np.arange(12, dtype=np.float64).reshape(3, 4))
    np.save(tmp_path / "text_feat.npy", np.ones((3, 2), "float32"))
    dataset = read_dataset(write(tmp_path, inter=MMREC))
    assert [item.id for item in dataset.items] == ["0", "1", "2"]
    assert dataset.interactions.split.tolist() == [TRAIN, VALID, TEST, TRAIN]
    assert {name: (values.shape, values.dtype.name) for name, values in dataset.features.items()} == {
        "text": ((3, 2), "float32"),
        "image": ((3, 4), "float32"),
    }
    assert dataset.features["image"][2].tolist() == [8, 9, 10, 11]
    assert dataset.skipped == (
        Skipped("films.inter", 5, "unknown item"),
        Skipped("films.inter", 6, "split is none of 0, 1, 2"),
    )
    parts = split(dataset)
    assert (parts.training[0].tolist(), parts.valid[0], parts.test[0]) == ([2], 0, 1)


@pytest.mark.parametrize(
    ("inter", "words"),
    [
        ("", "empty"),
        ("user_id:token\titem_id:token\n", "no rows"),
        ("user_id:token\titem_id:token\twhen:date\n1\tx\tnow\n", "unknown column type"),
        ("user_id:token\tproduct:token\n1\tx\n", "no column item_id or itemID"),
        ("user_id:token,item_id:token\n1,x\n", "unknown column type"),
    ],
)
def test_wrong_headers(tmp_path: Path, inter: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read_atomic(write(tmp_path, inter=inter), catalogue_from_interactions=True)
    assert (caught.value.path.name, caught.value.line) == ("films.inter", 1)


def test_which_of_several_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.inter file"):
        read_atomic(tmp_path, catalogue_from_interactions=True)
    directory = tmp_path / "films"
    directory.mkdir()
    (directory / "other.inter").write_text(INTER.replace("\tx\t", "\tq\t"))
    (directory / "more.inter").write_text(INTER)
    with pytest.raises(DataError, match="more than one"):
        read_atomic(directory, catalogue_from_interactions=True)
    assert read_atomic(write(directory, inter=INTER), catalogue_from_interactions=True).items[0].id == "x"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((2, 4)), "one row per item"),
        (np.ones(3), "shape"),
        (np.array([["a"], ["b"], ["c"]]), "shape"),
        (np.array([[1.0], [np.nan], [2.0]]), "row 1"),
        (np.array([[1.0], [1.0], [1e300]]), "row 2"),
    ],
)
def test_features_must_fit(tmp_path: Path, values: NDArray[np.generic], words: str) -> None:
    np.save(tmp_path / "text_feat.npy", np.ones((3, 2), "float32"))
    np.save(tmp_path / "image_feat.npy", values)
    with pytest.raises(DataError, match=words) as caught:
        read_atomic(write(tmp_path, inter=MMREC), catalogue_from_interactions=True)
    assert caught.value.path.name == "image_feat.npy"


def test_pickled_or_damaged_features_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "text_feat.npy", np.array([{}, {}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="no plain NumPy array"):
        read_atomic(write(tmp_path, inter=MMREC), catalogue_from_interactions=True)
    for raw in (b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04"):
        (tmp_path / "text_feat.npy").write_bytes(raw)
        with pytest.raises(DataError, match="no plain NumPy array"):
            read_atomic(tmp_path, catalogue_from_interactions=True)
