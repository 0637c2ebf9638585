"""What Python raises where a SQLite file cannot be read: the file is damaged, or a disk or a lock refuses."""

from __future__ import annotations

import sqlite3
from typing import Final

SQLITE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError, MemoryError)
"""Beside SQLite's own errors: a text in the file, or in SQLite's words about it, that is no UTF-8; what Python makes
of SQLite's "out of memory", which a damaged file brings about by a size that nobody has room for."""
