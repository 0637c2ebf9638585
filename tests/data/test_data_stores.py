"""Simulated devices: one store a user, with what that user's device would hold and nothing held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedrec.data.reader import read_dataset
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.splits import split
from fedrec.data.store import EventStore
from fedrec.data.stores import write_stores
from fedrec.errors import DataError, StoreError

WriteDirectory = Callable[..., Path]


def test_each_user_gets_a_store_in_order(write_directory: WriteDirectory, tmp_path: Path) -> None:
    directory = write_directory(
        users_csv="user\nnew\n",
        notes_csv="user,text\nnew,Hello\nbob,One\nbob,Two\n",
        loo_99neg_csv="user,valid_item,test_item,negatives\nbob,d,b,\n",
    )
    (directory / "photos/ann").mkdir(parents=True)
    (directory / "photos/ann/1.jpg").write_bytes(b"\xff\xd8")
    dataset = read_dataset(directory)
    calls: list[tuple[int, int, str]] = []
    paths = write_stores(dataset, split(dataset), tmp_path / "stores", progress=lambda *call: calls.append(call))
    assert [path.name for path in paths] == ["00000.sqlite", "00001.sqlite", "00002.sqlite"]
    assert calls == [(1, 3, "stores"), (2, 3, "stores"), (3, 3, "stores")]
    with EventStore.open(paths[0]) as ann:
        assert (ann.users(), ann.device_name) == (["ann"], "00000")
        assert ann.events("ann") == [Event("a", 100, 5.0), Event("c", 200, 3.0), Event("b", 300, 4.0)]
        assert ann.photos("ann") == [Photo("1.jpg", b"\xff\xd8")]
        assert ann.held_out("ann") == (None, None)
    with EventStore.open(paths[1]) as bob:
        assert bob.events("bob") == [Event("c", 50, 1.0), Event("a", 60, 2.0)]
        assert bob.notes("bob") == [Note("One"), Note("Two")]
        assert bob.held_out("bob") == ("d", "b")
    with EventStore.open(paths[2]) as new:
        assert new.users() == ["new"]
        assert new.events("new") == []
        assert new.notes("new") == [Note("Hello")]


def test_a_store_holds_what_the_split_trains_on(write_directory: WriteDirectory, tmp_path: Path) -> None:
    rows = "".join(f"u{k % 7},{'abcd'[k * k % 4]},{k % 5}\n" for k in range(60))
    dataset = read_dataset(write_directory(interactions_csv="user,item,timestamp\n" + rows))
    parts = split(dataset)
    for place, path in enumerate(write_stores(dataset, parts, tmp_path / "stores")):
        with EventStore.open(path) as store:
            events = store.events(dataset.users[place])
            held = {item for item in store.held_out(dataset.users[place]) if item}
        assert [event.item for event in events] == [dataset.items[item].id for item in parts.training[place]]
        assert not held & {event.item for event in events}


def test_events_without_time_and_rating_keep_the_order_of_the_file(
    write_directory: WriteDirectory, tmp_path: Path
) -> None:
    dataset = read_dataset(write_directory(interactions_csv="user,item\nu,d\nu,a\nu,c\nu,b\n"))
    (path,) = write_stores(dataset, split(dataset), tmp_path / "stores")
    with EventStore.open(path) as store:
        assert store.events("u") == [Event("d"), Event("a")]
        assert store.held_out("u") == ("c", "b")


def test_stores_are_never_overwritten(write_directory: WriteDirectory, tmp_path: Path) -> None:
    dataset = read_dataset(write_directory())
    paths = write_stores(dataset, split(dataset), tmp_path / "stores")
    before = [path.read_bytes() for path in paths]
    with pytest.raises(StoreError, match="already holds stores"):
        write_stores(dataset, split(dataset), tmp_path / "stores")
    assert [path.read_bytes() for path in paths] == before


def test_a_directory_that_cannot_be_made_is_a_store_error(write_directory: WriteDirectory, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    dataset = read_dataset(write_directory())
    with pytest.raises(StoreError, match="cannot be made"):
        write_stores(dataset, split(dataset), tmp_path / "file" / "stores")


def test_a_vanished_photo_is_a_data_error_and_leaves_no_half_store(
    write_directory: WriteDirectory, tmp_path: Path
) -> None:
    dataset = replace(read_dataset(write_directory()), photos={0: (tmp_path / "gone.jpg",)})
    with pytest.raises(DataError, match=r"gone\.jpg"):
        write_stores(dataset, split(dataset), tmp_path / "stores")
    with EventStore.open(tmp_path / "stores" / "00000.sqlite") as store:
        assert store.users() == []
