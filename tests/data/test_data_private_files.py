"""What users wrote and photographed: it belongs to users the data knows, and holds something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedrec.data.reader import read_dataset
from fedrec.data.schema import Skipped

if TYPE_CHECKING:
    from conftest import WriteDirectory


def test_users_without_events_come_last(write_directory: WriteDirectory) -> None:
    dataset = read_dataset(write_directory(users_csv="age,user\n3,new\n4,bob\n5,new\n"))
    assert dataset.users == ("ann", "bob", "new")
    assert dataset.skipped[-1] == Skipped("users.csv", 4, "duplicate row")
    assert not (dataset.interactions.user == 2).any()


def test_notes_belong_to_known_users(write_directory: WriteDirectory) -> None:
    text = 'user,text\nbob,"Lovely, really"\nann,One\nann,Two\nann,One\nbob, \nzoe,Who?\n'
    dataset = read_dataset(write_directory(notes_csv=text))
    assert dataset.notes == {0: ("One", "Two"), 1: ("Lovely, really",)}
    assert [(entry.line, entry.reason) for entry in dataset.skipped[1:]] == [
        (5, "duplicate row"),
        (6, "missing cell"),
        (7, "unknown user"),
    ]


def test_photos_belong_to_known_users_and_hold_bytes(write_directory: WriteDirectory) -> None:
    directory = write_directory()
    for name, raw in {"ann/1.jpg": b"x", "ann/2.jpg": b"", "bob/3.jpg": b"", "zoe/4.jpg": b"x"}.items():
        file = directory / "photos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(raw)
    dataset = read_dataset(directory)
    assert dataset.photos == {0: (directory / "photos/ann/1.jpg",)}
    assert set(dataset.skipped[1:]) == {
        Skipped("photos/ann/2.jpg", 0, "zero-byte picture"),
        Skipped("photos/bob/3.jpg", 0, "zero-byte picture"),
        Skipped("photos/zoe", 0, "photos of an unknown user"),
    }
