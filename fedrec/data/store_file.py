"""The SQLite file under an event store: its tables, its version, and opening it safely."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Final

from fedrec.errors import StoreError
from fedrec.sqlite_errors import SQLITE_ERRORS

# "frec" in ASCII: tells an event store from any other SQLite file.
APPLICATION_ID = 0x66726563
SCHEMA_VERSION = 1
# A store of one user is a handful of near-empty tables: small pages make it four times smaller than SQLite's default.
PAGE_BYTES = 1024
BUSY_SECONDS = 10.0
# Of stores in a simulation, a thousand of which are open at a time; SQLite would keep up to 2 MB of each.
_SMALL_CACHE_KB = 64

_TABLES = (
    "CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    "CREATE TABLE event (id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES user, item TEXT NOT NULL, "
    "timestamp INTEGER, rating REAL) STRICT",
    # NULLs are all different to a UNIQUE index, hence the stand-ins: no timestamp and no rating is a text.
    "CREATE UNIQUE INDEX event_once ON event (user, item, ifnull(timestamp, ''), ifnull(rating, ''))",
    "CREATE TABLE note (id INTEGER PRIMARY KEY, user INTEGER NOT NULL REFERENCES user, text TEXT NOT NULL, "
    "timestamp INTEGER) STRICT",
    "CREATE TABLE photo (user INTEGER NOT NULL REFERENCES user, name TEXT NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (user, name)) STRICT",
    "CREATE TABLE state (user INTEGER NOT NULL REFERENCES user, name TEXT NOT NULL, data BLOB NOT NULL, "
    "PRIMARY KEY (user, name)) STRICT, WITHOUT ROWID",
    "CREATE TABLE held_out (user INTEGER PRIMARY KEY REFERENCES user, valid TEXT, test TEXT) STRICT",
    "CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
)


_DAMAGED: Final = "The file is damaged or no event store: restore it from a backup"


class SqliteErrors:
    """Turns what SQLite and the disk raise into StoreError naming the file and what was being done.

    Around every statement, so it is a class: a context made of a generator takes as long as a small statement.
    """

    __slots__ = ("_doing", "_path")

    def __init__(self, path: Path, doing: str) -> None:
        self._path, self._doing = path, doing

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            return
        what, path = f"{self._doing} {self._path.name} failed", str(self._path)
        if isinstance(error, sqlite3.Error):
            raise StoreError(f"{what}: {error}", value=path, action=_advice(error)) from None
        if isinstance(error, OSError):
            raise StoreError(f"{what}: {error.strerror}", value=path) from None
        if isinstance(error, UnicodeEncodeError):
            raise StoreError(f"{what}: a text is not Unicode", value=error.object) from None
        if isinstance(error, SQLITE_ERRORS):
            why = "a size that there is no room for" if isinstance(error, MemoryError) else "a text that is none"
            raise StoreError(f"{what}: it holds {why}", value=path, action=_DAMAGED) from None


def create_file(path: Path) -> sqlite3.Connection:
    """Create a store's file, readable by its owner only, with all tables in one transaction.

    A file that a killed `create_file` left behind (no table in it yet) is taken over. Raises StoreError when the file
    holds anything else, or cannot be written.
    """
    with SqliteErrors(path, "creating"):
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = _connect(path)
        try:
            # Nothing is at stake yet: a power cut leaves a file without tables, which the next create takes over.
            connection.execute("PRAGMA synchronous = OFF")
            if not _has_tables(connection):
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            if _has_tables(connection):
                raise StoreError("the store exists already", value=str(path), action="Open it, or choose another path")
            for statement in _TABLES:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")
            _prepare(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def open_file(path: Path, *, check: bool, synced: bool = True) -> sqlite3.Connection:
    """Open a store's file. ``check`` reads the whole file once to find damage. ``synced``: see `EventStore.open`.

    Raises StoreError when there is no such file, it is no event store, it is unfinished or damaged, or its schema
    version is not `SCHEMA_VERSION`.
    """
    if not path.is_file():
        raise StoreError("no such event store", value=str(path), action="Create it first")
    with SqliteErrors(path, "opening"):
        connection = _connect(path)
        try:
            _check_kind(connection, path)
            _prepare(connection, synced=synced)
            if check:
                check_health(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    # Autocommit: transactions begin and end only where the store says so.
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def _prepare(connection: sqlite3.Connection, *, synced: bool = True) -> None:
    # In WAL mode NORMAL cannot corrupt the file; a power cut may only undo the last transactions, never half of one.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if synced else 'OFF'}")
    if not synced:
        connection.execute(f"PRAGMA cache_size = -{_SMALL_CACHE_KB}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    kind = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if kind == 0 and not _has_tables(connection):
        raise StoreError(
            "the event store is empty: creating it was cut short", value=str(path), action="Create it again"
        )
    if kind != APPLICATION_ID:
        raise StoreError("a SQLite file, but not an event store", value=str(path), action="Check the path")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path.name} has schema version {version}, newer than this fedrec reads ({SCHEMA_VERSION})",
            value=str(path),
            action="Update fedrec on this device",
        )
    if version != SCHEMA_VERSION:
        raise StoreError(
            f"{path.name} has the unknown schema version {version}; this fedrec reads {SCHEMA_VERSION}",
            value=str(path),
            action="Restore the file from a backup",
        )


def check_health(connection: sqlite3.Connection, path: Path) -> None:
    """Read the whole file. Raises StoreError where it is damaged."""
    finding = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    if finding != "ok":
        raise StoreError(f"{path.name} is damaged: {finding}", value=str(path), action="Restore the file from a backup")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _has_tables(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])


def _advice(error: sqlite3.Error) -> str:
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return _DAMAGED
    if "locked" in text:
        return "Another process is writing to it: try again when it has finished"
    if "full" in text:
        return "Free some space on the device"
    return ""
