"""A device's event store: one SQLite file that holds everything private, for one user or many."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fedrec.data.schema import Event, Note, Photo
from fedrec.data.store_file import BUSY_SECONDS, SqliteErrors, check_health, create_file, open_file
from fedrec.errors import StoreError

_PATIENCE_MS = 200
_INSERT_EVENT = "INSERT INTO event (user, item, timestamp, rating) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"


class EventStore:
    """What a device knows of its users: events, notes, photos, private state; and the device's own settings.

    Every method that writes is one transaction: after a crash or a kill its whole effect is there or none of it.
    `transaction` makes several calls one. All methods raise StoreError when the file cannot be read or written, or when
    a value cannot be stored; nothing else. A user that was never written to has empty lists, not an error. Use it as a
    context manager or call `close`; an object serves one thread.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, *, synced: bool = True) -> None:
        self.path = path
        self._connection = connection
        self._syncs = synced
        self._inside = False
        self._durable = False

    @classmethod
    def create(cls, path: Path, device_name: str = "") -> EventStore:
        """Make a new store, readable by the file's owner only. Raises StoreError when the path is taken."""
        store = cls(path, create_file(path))
        store.set_setting("device_name", json.dumps(device_name))
        return store

    @classmethod
    def open(cls, path: Path, *, check: bool = True, synced: bool = True) -> EventStore:
        """Open a store. ``check`` reads the whole file once, so that damage shows now and not in mid-use.

        ``synced``: False for simulations only: what is written outlives this process as ever, and no transaction waits
        for the disk, so that a power cut may damage the file.

        Raises StoreError: no such file, not an event store, damaged, or of a newer or unknown schema version.
        """
        return cls(path, open_file(path, check=check, synced=synced), synced=synced)

    def check(self) -> None:
        """Read the whole file once. Raises StoreError where it is damaged."""
        with self._errors("checking"):
            check_health(self._connection, self.path)

    def close(self) -> None:
        """Close the file. Further calls raise StoreError."""
        with self._errors("closing"):
            self._connection.close()

    def __enter__(self) -> EventStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Make the calls inside one transaction: an exception undoes them all. Transactions nest into the outermost.

        ``durable``: it is on the disk when the context ends, whatever happens to the machine then.  Without it a power
        cut may undo the last transactions, each as a whole, which makes adding many events quick.  The outermost says:
        a durable one in one that is not is a StoreError.
        """
        if self._inside:
            if durable and not self._durable:
                raise StoreError("a durable transaction cannot be part of one that is not", value=str(self.path))
            yield
            return
        with self._synced(durable):
            yield from self._outermost()

    @contextmanager
    def _synced(self, durable: bool) -> Iterator[None]:
        """SQLite takes the level over outside of transactions only."""
        waits = durable and self._syncs
        if waits:
            self._execute("PRAGMA synchronous = FULL")
        self._durable = durable
        try:
            yield
        finally:
            self._durable = False
            if waits:
                self._execute("PRAGMA synchronous = NORMAL")

    def _outermost(self) -> Iterator[None]:
        self._execute("BEGIN IMMEDIATE")
        self._inside = True
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            # After a full disk or a damaged page SQLite has rolled back on its own.
            if self._connection.in_transaction:
                self._execute("ROLLBACK")
            raise
        finally:
            self._inside = False

    @property
    def device_name(self) -> str:
        """The name the store was created with."""
        return str(json.loads(self.get_setting("device_name") or '""'))

    # Users

    def users(self) -> list[str]:
        """All users of this device, in the order in which they were first written."""
        return [row[0] for row in self._rows("SELECT name FROM user ORDER BY id")]

    def add_user(self, user: str) -> None:
        """Make a user known who has no event yet; nothing happens where the user is known."""
        with self.transaction():
            self._place(user)

    def forget(self, user: str) -> None:
        """Erase all that this store holds of a user, and overwrite it in the file and its log."""
        with self.transaction():
            for table in ("event", "note", "photo", "state", "held_out"):
                self._execute(f"DELETE FROM {table} WHERE user = (SELECT id FROM user WHERE name = ?)", (user,))
            self._execute("DELETE FROM user WHERE name = ?", (user,))
        if not self._inside:
            self.empty_log()

    def empty_log(self) -> bool:
        """Empty the file's log, in which what was erased or replaced can still be read; between transactions.

        In the file itself, what is erased is overwritten.  Returns whether it was done: it cannot be while another
        connection reads, and is then done by the next call that finds none, or when the last connection closes.
        """
        self._execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
        try:
            return int(self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]) == 0
        finally:
            self._execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_SECONDS)}")

    # What users did, wrote and photographed

    def add_events(self, user: str, events: Sequence[Event]) -> int:
        """Add events, all or none; returns how many were new. Equal ones (item, timestamp, rating) count once.

        Raises StoreError for an empty item, a timestamp that is negative or beyond 63 bits, or a rating that is not
        finite.
        """
        rows = [_event_row(event) for event in events]
        with self.transaction():
            place = self._place(user)
            return self._execute_many(_INSERT_EVENT, ((place, *row) for row in rows))

    def events(self, user: str) -> list[Event]:
        """The user's events by time; those without a time come first, in the order in which they were added."""
        rows = self._rows(
            "SELECT item, timestamp, rating FROM event WHERE user = (SELECT id FROM user WHERE name = ?) "
            "ORDER BY timestamp, id",
            (user,),
        )
        return [Event(*row) for row in rows]

    def add_note(self, user: str, note: Note) -> None:
        """Add a note. Raises StoreError for an empty text or a bad timestamp."""
        if not note.text:
            raise StoreError("a note needs a text")
        timestamp = _timestamp(note.timestamp)
        with self.transaction():
            self._execute(
                "INSERT INTO note (user, text, timestamp) VALUES (?, ?, ?)", (self._place(user), note.text, timestamp)
            )

    def notes(self, user: str) -> list[Note]:
        """The user's notes, ordered as events are."""
        rows = self._rows(
            "SELECT text, timestamp FROM note WHERE user = (SELECT id FROM user WHERE name = ?) ORDER BY timestamp, id",
            (user,),
        )
        return [Note(*row) for row in rows]

    def add_photo(self, user: str, photo: Photo) -> None:
        """Add a photo; one of the same name is replaced. Raises StoreError for a photo without a name or bytes."""
        if not photo.name or not photo.data:
            raise StoreError("a photo needs a name and at least one byte", value=photo.name)
        with self.transaction():
            self._execute(
                "INSERT INTO photo (user, name, data) VALUES (?, ?, ?) "
                "ON CONFLICT (user, name) DO UPDATE SET data = excluded.data",
                (self._place(user), photo.name, photo.data),
            )

    def photos(self, user: str) -> list[Photo]:
        """The user's photos, in the order in which they were added."""
        rows = self._rows(
            "SELECT name, data FROM photo WHERE user = (SELECT id FROM user WHERE name = ?) ORDER BY rowid", (user,)
        )
        return [Photo(*row) for row in rows]

    # Private state, evaluation, settings

    def set_state(self, user: str, name: str, data: bytes) -> None:
        """Keep a user's private state (an adapter, ...) under a name, replacing what was there. It never leaves."""
        with self.transaction():
            self._execute(
                "INSERT INTO state (user, name, data) VALUES (?, ?, ?) "
                "ON CONFLICT (user, name) DO UPDATE SET data = excluded.data",
                (self._place(user), name, data),
            )

    def get_state(self, user: str, name: str) -> bytes | None:
        """A user's private state, or None."""
        rows = self._rows(
            "SELECT data FROM state WHERE user = (SELECT id FROM user WHERE name = ?) AND name = ?", (user, name)
        )
        return bytes(rows[0][0]) if rows else None

    def set_held_out(self, user: str, valid_item: str | None, test_item: str | None) -> None:
        """In simulations: the items kept out of this user's training, to measure with."""
        with self.transaction():
            self._execute(
                "INSERT INTO held_out (user, valid, test) VALUES (?, ?, ?) "
                "ON CONFLICT (user) DO UPDATE SET valid = excluded.valid, test = excluded.test",
                (self._place(user), valid_item, test_item),
            )

    def held_out(self, user: str) -> tuple[str | None, str | None]:
        """(validation item, test item) of a user, None where there is none."""
        rows = self._rows("SELECT valid, test FROM held_out WHERE user = (SELECT id FROM user WHERE name = ?)", (user,))
        return (rows[0][0], rows[0][1]) if rows else (None, None)

    def set_setting(self, name: str, value: str) -> None:
        """Keep a setting of the device, as JSON text. Raises StoreError for a text that is not JSON."""
        try:
            json.loads(value)
        except ValueError:
            raise StoreError(f"setting {name} must be JSON text", value=value) from None
        with self.transaction():
            self._execute(
                "INSERT INTO setting (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (name, value),
            )

    def get_setting(self, name: str) -> str | None:
        """A setting's JSON text, or None."""
        rows = self._rows("SELECT value FROM setting WHERE name = ?", (name,))
        return str(rows[0][0]) if rows else None

    # The file

    def _place(self, user: str) -> int:
        if not user:
            raise StoreError("a user needs a name")
        self._execute("INSERT INTO user (name) VALUES (?) ON CONFLICT DO NOTHING", (user,))
        return int(self._rows("SELECT id FROM user WHERE name = ?", (user,))[0][0])

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._errors("reading"):
            return self._connection.execute(statement, values).fetchall()

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> None:
        with self._errors("writing"):
            self._connection.execute(statement, values)

    def _execute_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        with self._errors("writing"):
            return self._connection.executemany(statement, rows).rowcount

    def _errors(self, doing: str) -> SqliteErrors:
        return SqliteErrors(self.path, doing)


def _event_row(event: Event) -> tuple[str, int | None, float | None]:
    if not event.item:
        raise StoreError("an event needs an item")
    if event.rating is not None and not math.isfinite(event.rating):
        raise StoreError("a rating must be a finite number or None", value=event.rating)
    return event.item, _timestamp(event.timestamp), event.rating


def _timestamp(timestamp: int | None) -> int | None:
    if timestamp is not None and not 0 <= timestamp < 2**63:
        raise StoreError("a timestamp must be seconds since 1970, 0 or more", value=timestamp)
    return timestamp
