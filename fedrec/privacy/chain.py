"""An append-only log in one SQLite file whose rows are chained by hashes, durable row by row.

Each row holds a canonical JSON text and SHA-256(previous row's hash, text).  A change of any row, or rows swapped or
taken out of the middle, breaks the chain; rows cut off its end do not, so keep `Chain.head` elsewhere (run.json, the
release) and give it to `Chain.verify`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from fedrec.errors import PrivacyError
from fedrec.sqlite_errors import SQLITE_ERRORS

FIRST_HASH = "0" * 64
_TABLE = """
CREATE TABLE chain (number INTEGER PRIMARY KEY, body TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TRIGGER no_update BEFORE UPDATE ON chain BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON chain BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
_LOCK_SECONDS = 30.0


class Chain:
    """The log. Use as a context manager, or `close` it. One instance belongs to one thread.

    ``path``: made if it does not exist.  ``first``: makes the body of row 0 when the log is new.

    Raises:
        PrivacyError: the file cannot be opened, is no such log, is held by another process, or its chain is broken.
    """

    def __init__(self, path: Path, first: Callable[[], Mapping[str, Any]]) -> None:
        self._path = path
        with self._errors():
            # isolation_level None: transactions are begun and ended here, and nowhere behind our back.
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_LOCK_SECONDS)
            self._db.text_factory = bytes  # so that a row damaged beyond UTF-8 is still read, and named
        try:
            with self._errors():
                # A rollback journal keeps all in one file; EXTRA also syncs the folder when the journal goes, without
                # which a committed row could be rolled back after a power cut.
                self._db.execute("PRAGMA journal_mode = DELETE")
                self._db.execute("PRAGMA synchronous = EXTRA")
                with self.transaction():
                    if self._is_empty():
                        for statement in _TABLE.strip().split("\n"):
                            self._db.execute(statement)
                        self._insert(0, first(), FIRST_HASH)
            self.verify()
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Chain:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; the log cannot be used afterwards."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the file for reading and appending: no other process appends meanwhile. Undone on an exception."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def append(self, body: Mapping[str, Any]) -> str:
        """Add a row inside a `transaction`, durable when that ends; its hash.

        Raises:
            PrivacyError: the body is not JSON (NaN is not), or the file cannot be written.
        """
        with self._errors():
            number, head = self._last()
            return self._insert(number + 1, body, head)

    def bodies(self, start: int = 0) -> list[dict[str, Any]]:
        """The bodies of all rows from number ``start``, as read now; checks nothing."""
        with self._errors():
            rows = self._db.execute("SELECT body FROM chain WHERE number >= ? ORDER BY number", (start,))
            return [json.loads(body) for (body,) in rows]

    def __len__(self) -> int:
        with self._errors():
            return self._last()[0] + 1

    @property
    def head(self) -> str:
        """The last row's hash: names the whole log."""
        with self._errors():
            return self._last()[1]

    def verify(self, head: str | None = None) -> None:
        """Recompute the chain, and hold its end, or an earlier row, against ``head`` where given.

        Raises:
            PrivacyError: names the first broken row, or says that no row has that head: rows were cut off.
        """
        previous, seen = FIRST_HASH, False
        with self._errors():
            for place, (number, body, stored) in enumerate(self._rows()):
                if number != place:
                    raise PrivacyError(f"{self._path.name}: row {place} is missing", action=_RESTORE)
                if not isinstance(body, bytes) or stored != _link(previous, body).encode():
                    raise PrivacyError(f"{self._path.name}: row {place} was changed", action=_RESTORE)
                previous = _link(previous, body)
                seen = seen or previous == head
        if previous == FIRST_HASH:
            raise PrivacyError(f"{self._path.name}: row 0 is missing", action=_RESTORE)
        if head is not None and not seen:
            raise PrivacyError(f"{self._path.name}: rows were cut off the end", value=head, action=_RESTORE)

    def check_file(self) -> None:
        """Hold the file's own structure, and the triggers that keep rows from being changed, to what was made.

        Raises:
            PrivacyError: a table, a trigger or the structure of the file was changed.
        """
        with self._errors():
            statements = self._db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
            kept = {bytes(sql).decode() for (sql,) in statements}
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if kept != {statement.rstrip(";") for statement in _TABLE.strip().split("\n")}:
            raise PrivacyError(f"{self._path.name}: its tables or triggers were changed", action=_RESTORE)
        if found != b"ok":
            raise PrivacyError(f"{self._path.name} is damaged: {found.decode(errors='replace')}", action=_RESTORE)

    def _rows(self) -> Iterator[tuple[Any, Any, Any]]:
        yield from self._db.execute("SELECT number, body, hash FROM chain ORDER BY number")

    def _is_empty(self) -> bool:
        names = {name.decode() for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if names and names != {"chain"}:
            raise PrivacyError(f"{self._path.name} is not a ledger", action="Give another path for the ledger")
        return not names

    def _last(self) -> tuple[int, str]:
        row = self._db.execute("SELECT number, hash FROM chain ORDER BY number DESC LIMIT 1").fetchone()
        if row is None:
            raise PrivacyError(f"{self._path.name}: row 0 is missing", action=_RESTORE)
        return int(row[0]), row[1].decode()

    def _insert(self, number: int, body: Mapping[str, Any], previous: str) -> str:
        try:
            text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise PrivacyError(f"a ledger entry must be JSON: {error}") from None
        link = _link(previous, text.encode())
        self._db.execute("INSERT INTO chain VALUES (?, ?, ?)", (number, text, link))
        return link

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (*SQLITE_ERRORS, json.JSONDecodeError) as error:
            raise PrivacyError(f"{self._path.name}: the ledger cannot be used: {error}", action=_RESTORE) from error


_RESTORE = "Check the path, that no other run uses it, and the disk; restore it from a copy if it is damaged"


def _link(previous: str, body: bytes) -> str:
    return hashlib.sha256(previous.encode() + body).hexdigest()
