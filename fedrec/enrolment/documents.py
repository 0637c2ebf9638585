"""Reading the small documents that people carry between machines, which may be anybody's making."""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from fedrec.config.base import Settings
from fedrec.errors import ConfigError, ProtocolError

LARGEST_DOCUMENT: Final = 1 << 16
"""Bytes of an invite or a request."""
_Document = TypeVar("_Document", bound=Settings)


def read_document(path: Path, kind: type[_Document], what: str, *, most: int = LARGEST_DOCUMENT) -> _Document:
    """The document in a file.

    Args:
        path: the file.
        kind: what it holds, as JSON.
        what: what it is called.
        most: bytes that are read.

    Raises:
        ConfigError: the file cannot be read. ProtocolError: it is too large, or no such document.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise ConfigError(f"no {what}: {error.strerror}", value=path.name, action="Give the path of the file") from None
    return parse_document(data, kind, what, most=most)


def parse_document(data: bytes, kind: type[_Document], what: str, *, most: int = LARGEST_DOCUMENT) -> _Document:
    """The document in these bytes. Raises ProtocolError as `read_document` does."""
    if len(data) > most:
        raise ProtocolError(f"an {what} is at most {most:,} bytes", value=len(data), action="Take a fresh copy")
    try:
        return kind.model_validate_json(data)
    except (ValidationError, RecursionError) as error:
        wrong = "nested too deeply"
        if isinstance(error, ValidationError):
            wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in error.errors()[:3])
        raise ProtocolError(f"this is no {what}: {wrong}", action="Take a fresh copy of the file") from None
