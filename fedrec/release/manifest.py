"""The manifest of a release: name, version, time, and size and hash of every file. It is what gets signed.

``version`` only rises from one release of a publisher to the next, so that a device can tell an old one from a new one
(`fedrec.client.release_memory`). Manifests without it were written before there was one, and count as version 0.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fedrec.errors import ReleaseError
from fedrec.release import canonical

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
CONTEXT = b"fedrec release manifest 1"
LARGEST_MANIFEST = 1 << 20
LARGEST_VERSION = 2**53 - 1  # every reader of JSON has it exactly
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
    """``name``: of the release. ``created_at``: UTC, as ``2026-11-22T05:00:00Z``. ``files``: name -> entry.
    ``version``: only rises; 0 = written before there were versions."""

    name: str
    created_at: str
    files: Mapping[str, FileEntry]
    version: int = 0

    def to_bytes(self) -> bytes:
        """Canonical JSON: what is signed, and what a release's id is the hash of."""
        files = {name: {"bytes": entry.size, "sha256": entry.sha256} for name, entry in self.files.items()}
        value: dict[str, Any] = {"schema": SCHEMA, "name": self.name, "created_at": self.created_at, "files": files}
        if self.version:
            value["version"] = self.version
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
        whole = type(schema) is int and schema == SCHEMA and set(value) - {"version"} == _FIELDS
        if not whole or not isinstance(name, str) or not isinstance(created_at, str) or not isinstance(files, dict):
            raise ReleaseError(f"{MANIFEST} lacks a field or has an unknown one", value=sorted(value), action=_RENEW)
        if not _TIME.fullmatch(created_at):
            raise ReleaseError("a release's time is UTC as 2026-11-22T05:00:00Z", value=created_at)
        version = value.get("version", 0)
        if type(version) is not int or not ("version" in value) <= version <= LARGEST_VERSION:
            raise ReleaseError("a release's version is a whole number from 1", value=version, action=_RENEW)
        entries = {file: _entry(file, entry) for file, entry in files.items()}
        return cls(name=name, created_at=created_at, files=entries, version=version)


def check_file_name(name: str) -> None:
    """Raise ReleaseError unless ``name`` is a plain file name with an ending: no directory, nothing hidden, and not
    one of the manifest's own names."""
    if not _FILE_NAME.fullmatch(name) or len(name) > 100 or name.lower() in (MANIFEST, SIGNATURE):
        raise ReleaseError("the manifest names a file that no release may hold", value=name, action="Do not use it")


def now() -> str:
    """The time as a manifest writes it: UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def next_version(created_at: str, last: int) -> int:
    """The version of a release of this time after one of version ``last``: seconds since 1970, or just above it.

    Raises:
        ReleaseError: the time is none, or there is no higher version.
    """
    try:
        seconds = int(datetime.strptime(created_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ReleaseError("a release's time is UTC as 2026-11-22T05:00:00Z", value=created_at) from None
    version = max(1, seconds, last + 1)
    if version > LARGEST_VERSION:
        raise ReleaseError("there is no higher version for a release", value=last, action="Publish under another name")
    return version


def _entry(name: str, value: object) -> FileEntry:
    check_file_name(name)
    if isinstance(value, dict) and set(value) == {"bytes", "sha256"}:
        size, sha256 = value["bytes"], value["sha256"]
        if type(size) is int and size >= 0 and isinstance(sha256, str) and _HASH.fullmatch(sha256):
            return FileEntry(size=size, sha256=sha256)
    raise ReleaseError("the manifest's entry for a file is damaged", value=name, action=_RENEW)
