"""What simulated devices of a process share: stores that stay open, are checked, and end with the simulation."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from fedrec.client.shared_work import SharedWork, current, open_files, shared_work
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.errors import StoreError


def stores(directory: Path, count: int) -> list[Path]:
    paths = [directory / f"{place:05d}.sqlite" for place in range(count)]
    for path in paths:
        EventStore.create(path).close()
    return paths


def test_a_store_stays_open_until_the_end(tmp_path: Path) -> None:
    (path,) = stores(tmp_path, 1)
    assert current() is None
    with shared_work(1) as work:
        assert current() is work
        with work.store(path, check=True) as first:
            first.set_setting("kept", "1")
        with work.store(path, check=False) as second:
            assert second is first
            assert second.get_setting("kept") == "1"
        # Others see what was written, and may write.
        with EventStore.open(path) as other:
            assert other.get_setting("kept") == "1"
            other.set_setting("kept", "2")
        with work.store(path, check=True) as third:
            assert third.get_setting("kept") == "2"
    assert current() is None
    with pytest.raises(StoreError):
        first.get_setting("kept")


def test_only_so_many_stores_are_open(tmp_path: Path) -> None:
    paths, work = stores(tmp_path, 3), SharedWork(2)
    opened = []
    for path in paths:
        with work.store(path, check=False) as store:
            opened.append(store)
    with pytest.raises(StoreError):
        opened[0].users()
    assert [store.users() for store in opened[1:]] == [[], []]
    work.close()


def test_after_an_error_a_store_is_opened_anew(tmp_path: Path) -> None:
    (path,) = stores(tmp_path, 1)
    with shared_work(1) as work:
        with pytest.raises(ZeroDivisionError), work.store(path, check=False) as first, first.transaction(durable=True):
            first.set_setting("kept", "1")
            _ = 1 / 0
        with work.store(path, check=True) as second:
            assert second is not first
            assert second.get_setting("kept") is None


def test_damage_of_an_open_store_is_found_by_the_next_check(tmp_path: Path) -> None:
    (path,) = stores(tmp_path, 1)
    with shared_work(1) as work:
        with work.store(path, check=True) as store, store.transaction():
            store.add_user("one")
            store.add_events("one", [Event(f"item {at}", at) for at in range(200)])
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            other.execute("PRAGMA writable_schema = ON")
            other.execute("DELETE FROM sqlite_schema WHERE name = 'event_once'")
        other.close()
        data = bytearray(path.read_bytes())
        data[5 * 1024 : 20 * 1024] = bytes(15 * 1024)
        path.write_bytes(data)
        with pytest.raises(StoreError), work.store(path, check=True):
            pass


def test_without_waiting_for_the_disk_transactions_are_still_all_or_nothing(tmp_path: Path) -> None:
    (path,) = stores(tmp_path, 1)
    with EventStore.open(path, synced=False) as store:
        with store.transaction(durable=True), store.transaction(durable=True):
            store.set_setting("kept", "1")
        with store.transaction(), pytest.raises(StoreError), store.transaction(durable=True):
            pass
        with pytest.raises(KeyError), store.transaction(durable=True):
            store.set_setting("kept", "2")
            raise KeyError
    with EventStore.open(path) as store:
        assert store.get_setting("kept") == "1"


def test_a_process_has_files_for_some_stores() -> None:
    assert open_files() >= 24
