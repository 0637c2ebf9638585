"""Reading a file of content into memory, or the reason why not. Files are taken as hostile."""

from __future__ import annotations

from pathlib import Path

File = bytes | Path | None
LARGEST_FILE = 32 * 2**20
"""Bytes of a picture or sound file."""


class UnreadableError(Exception):
    """A file cannot be used; the text says why. Never leaves this package."""


def read_file(file: bytes | Path) -> bytes:
    """Its bytes, at least one and at most `LARGEST_FILE`. Raises UnreadableError."""
    if isinstance(file, bytes):
        data = file
    else:
        try:
            with file.open("rb") as opened:
                data = opened.read(LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            raise UnreadableError(f"file cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not data:
        raise UnreadableError("file is empty")
    if len(data) > LARGEST_FILE:
        raise UnreadableError(f"file is larger than {LARGEST_FILE} bytes")
    return data
