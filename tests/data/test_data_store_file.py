"""A store's file: made once and for its owner, whole after a kill, and damage is said and never read."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.data.store_file import SCHEMA_VERSION
from fedrec.errors import StoreError

# The photo is larger than SQLite's cache, so that part of the transaction has reached the disk when the kill comes.
KILLED = """
import os, signal, sys
from pathlib import Path
from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store import EventStore
store = EventStore.create(Path(sys.argv[1]))
store.add_events("ann", [Event("whole", 1)])
with store.transaction():
    store.add_note("ann", Note("half"))
    store.add_photo("ann", Photo("half.jpg", bytes(8_000_000)))
    store.add_events("ann", [Event(f"half-{k}", k) for k in range(1_000)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_mid_write_leaves_nothing_half_written(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    run = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, capture_output=True)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert path.with_name("device.sqlite-wal").stat().st_size > 1_000_000
    with EventStore.open(path) as store:
        assert store.events("ann") == [Event("whole", 1)]
        assert store.notes("ann") == []
        assert store.photos("ann") == []
        assert store.add_events("ann", [Event("next", 2)]) == 1


def test_creating_takes_over_what_a_killed_creation_left(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    path.touch()
    with pytest.raises(StoreError, match="cut short"):
        EventStore.open(path)
    EventStore.create(path).close()
    with EventStore.open(path) as store:
        assert store.users() == []


def test_creating_never_overwrites_a_store(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    with EventStore.create(path) as store:
        store.add_events("ann", [Event("a")])
    with pytest.raises(StoreError, match="exists already"):
        EventStore.create(path)
    with EventStore.open(path) as store:
        assert store.events("ann") == [Event("a")]


def test_creating_refuses_another_file_and_a_missing_directory(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match=r"photo\.jpg"):
        EventStore.create(path)
    assert path.read_bytes() == b"not a database" * 100
    with pytest.raises(StoreError, match="creating"):
        EventStore.create(tmp_path / "missing" / "device.sqlite")


@pytest.mark.parametrize(("version", "words"), [(SCHEMA_VERSION + 1, "newer"), (0, "unknown"), (-3, "unknown")])
def test_a_foreign_version_is_named(tmp_path: Path, version: int, words: str) -> None:
    path = tmp_path / "device.sqlite"
    EventStore.create(path).close()
    _sql(path, f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=words) as caught:
        EventStore.open(path)
    assert str(version) in str(caught.value)


def test_another_sqlite_file_is_not_an_event_store(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    _sql(path, "CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="not an event store"):
        EventStore.open(path)
    with pytest.raises(StoreError, match="exists already"):
        EventStore.create(path)


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    with pytest.raises(StoreError, match="no such event store"):
        EventStore.open(path)
    assert not path.exists()


def _filled(path: Path) -> bytes:
    with EventStore.create(path) as store:
        store.add_events("ann", [Event(f"item {k}", k, 1.0) for k in range(500)])
    return path.read_bytes()


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_a_store_error(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "device.sqlite"
    raw = _filled(path)
    path.write_bytes(raw[: int(len(raw) * kept)])
    with pytest.raises(StoreError):
        EventStore.open(path)


def test_damage_shows_on_opening_unless_the_check_is_waived(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    raw = _filled(path)
    page = raw.rindex(b"item 250") // 1024 * 1024
    path.write_bytes(raw[:page] + b"\xa5" * 1024 + raw[page + 1024 :])
    with pytest.raises(StoreError, match="damaged"):
        EventStore.open(path)
    with EventStore.open(path, check=False) as store:
        assert store.users() == ["ann"]


def test_damage_anywhere_is_a_store_error_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    raw = _filled(path)
    refused = 0
    for start in range(0, len(raw), 1024):
        path.write_bytes(raw[:start] + b"\xa5" * 512 + raw[start + 512 :])
        try:
            with EventStore.open(path) as store:
                store.events("ann")
        except StoreError:
            refused += 1
    assert refused > len(raw) // 1024 // 2


def _sql(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("damaged", [b"T\x88XT", b"TEX\xff"])
def test_a_schema_that_is_no_text_is_damage(damaged: bytes, tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    EventStore.create(path).close()
    data = path.read_bytes()
    assert b"TEXT" in data
    path.write_bytes(data.replace(b"TEXT", damaged))
    with pytest.raises(StoreError, match="text that is none"):
        EventStore.open(path)


def test_a_schema_with_a_size_that_nobody_has_room_for_is_damage_not_a_lack_of_memory(tmp_path: Path) -> None:
    """SQLite says "out of memory" of it, which Python raises as MemoryError."""
    good, bad = tmp_path / "good.sqlite", tmp_path / "bad.sqlite"
    with EventStore.create(good, device_name="one"):
        pass
    content, found = good.read_bytes(), 0
    # The type of a row of the schema is its first text; right before it is the size of the row, in pieces of 7 bits.
    for place in [at.start() for at in re.finditer(rb"table|index", content)]:
        for before in range(4, 14):
            damaged = bytearray(content)
            damaged[place - before : place - before + 4] = b"\xff\xff\xff\xff"
            bad.write_bytes(damaged)
            if _out_of_memory(bad):
                found += 1
                with pytest.raises(StoreError, match="a size that there is no room for"):
                    EventStore.open(bad)
    assert found


def _out_of_memory(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
        except MemoryError:
            return True
        except (sqlite3.Error, UnicodeDecodeError):
            pass
    return False
