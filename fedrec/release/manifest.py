"""The manifest of a release: the version, the name, and size and hash of every file. It is what gets signed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fedrec.errors import ReleaseError
from fedrec.release import canonical

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
CONTEXT = b"fedrec release manifest 1"
LARGEST_MANIFEST = 1 << 20
_FIELDS = {"schema", "name", "created_at", "files"}
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9]+)+")
_HASH = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_RENEW = "Take a fresh copy of the release"


@dataclass(frozen=True)
class FileEntry:
    """One file: its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        return cls(size=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Manifest:
    """``name``: of the release. ``created_at``: UTC, as ``2026-11-22T05:00:00Z``. ``files``: name -> entry."""

    name: str
    created_at: str
    files: Mapping[str, FileEntry]

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed, and what a release's id is the hash of."""
        files = {name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in self.files.items()}
        value = {"schema": SCHEMA, "name": self.name, "created_at": self.created_at, "files": files}
        return canonical.encode(value, what=MANIFEST)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """The inverse of `to_bytes`.

        Raises:
            ReleaseError: not a manifest, one of a newer version, or one that names a file outside of its directory.
        """
        value = canonical.decode(data, what=MANIFEST)
        schema = value.get("schema")
        if type(schema) is int and schema > SCHEMA:
            raise ReleaseError(
                f"the release is of version {schema}, this fedrec reads up to {SCHEMA}", action="Update fedrec"
            )
        name, created_at, files = value.get("name"), value.get("created_at"), value.get("files")
        whole = type(schema) is int and schema == SCHEMA and set(value) == _FIELDS
        if not whole or not isinstance(name, str) or not isinstance(created_at, str) or not isinstance(files, dict):
            raise ReleaseError(f"{MANIFEST} lacks a field or has an unknown one", value=sorted(value), action=_RENEW)
        if not _TIME.fullmatch(created_at):
            raise ReleaseError("a release's time is UTC as 2026-11-22T05:00:00Z", value=created_at)
        return cls(name=name, created_at=created_at, files={file: _entry(file, entry) for file, entry in files.items()})


def check_file_name(name: str) -> None:
    """Raise ReleaseError unless ``name`` is a plain file name with an ending: no directory, nothing hidden, and not
    one of the manifest's own names."""
    if not _FILE_NAME.fullmatch(name) or len(name) > 100 or name.lower() in (MANIFEST, SIGNATURE):
        raise ReleaseError("the manifest names a file that no release may hold", value=name, action="Do not use it")


def now() -> str:
    """The time as a manifest writes it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _entry(name: str, value: object) -> FileEntry:
    check_file_name(name)
    if isinstance(value, dict) and set(value) == {"bytes", "sha256"}:
        size, sha256 = value["bytes"], value["sha256"]
        if type(size) is int and size >= 0 and isinstance(sha256, str) and _HASH.fullmatch(sha256):
            return FileEntry(size=size, sha256=sha256)
    raise ReleaseError("the manifest's entry for a file is damaged", value=name, action=_RENEW)
