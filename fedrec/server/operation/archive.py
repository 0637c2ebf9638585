"""One archive of a server's state: a tar file whose first member lists size and SHA-256 of every other one."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from fedrec.config.base import Settings
from fedrec.enrolment.invite import Hex32
from fedrec.errors import StoreError
from fedrec.whole_files import SECRET, cannot_write

LIST: Final = "backup.json"
LARGEST_LIST: Final = 1 << 26
_PATH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*){0,5}")
_RENEW: Final = "Do not restore from it; take another backup"


class ArchivedFile(Settings):
    """Size in bytes, SHA-256 in hex."""

    size: int = Field(ge=0)
    sha256: Hex32


class ArchivedRun(Settings):
    """How far a run had come: ``rows`` of its ledger, and the hash of the last one."""

    rows: int = Field(ge=0)
    head: str


class ArchiveList(Settings):
    """What is in an archive, and how old it is: ``counter`` of the newest manifest, and each run by its directory."""

    format: str = "fedrec server backup 1"
    name: str
    publisher: Hex32
    created_at: str
    counter: int = Field(ge=0)
    with_keys: bool
    runs: dict[str, ArchivedRun]
    files: dict[str, ArchivedFile]


def list_of(files: Mapping[str, Path], **facts: Any) -> ArchiveList:
    """The list of these files, by their path in the archive. Raises OSError where one cannot be read."""
    entries = {}
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        entries[name] = ArchivedFile(size=path.stat().st_size, sha256=digest)
    return ArchiveList(files=entries, **facts)


def write_archive(out: Path, files: Mapping[str, Path], listed: ArchiveList) -> None:
    """Write an archive whole or not at all, for its owner alone. Raises StoreError where the disk refuses."""
    partial = out.with_name(f".{out.name}.new")
    try:
        partial.unlink(missing_ok=True)
        with (
            os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET), "wb") as file,
            tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            _add(archive, LIST, listed.model_dump_json(indent=1).encode())
            for name in listed.files:
                _add(archive, name, files[name].read_bytes())
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise cannot_write(out, error) from None


def read_archive(path: Path, place: Path | None) -> ArchiveList:
    """Check every file of an archive, and write them below a directory.

    Args:
        path: the archive.
        place: an empty directory; None: only check.

    Raises:
        StoreError: it is damaged, incomplete, or holds what was not listed; or the disk refuses.
    """
    try:
        with tarfile.open(path, mode="r:") as archive:
            listed = _read_list(archive)
            missing = dict(listed.files)
            for member in archive:
                if member.name == LIST:
                    continue
                entry = missing.pop(member.name, None)
                if entry is None or not member.isreg() or member.size != entry.size:
                    raise StoreError("the archive holds a file that is not listed", value=member.name, action=_RENEW)
                _take(archive, member, entry, place)
    except (tarfile.TarError, EOFError) as error:
        raise StoreError(f"the archive is damaged: {error}", value=path.name, action=_RENEW) from None
    except OSError as error:
        raise StoreError(f"the archive cannot be read: {error}", value=path.name, action="Look at its path") from None
    if missing:
        raise StoreError("the archive lacks a file", value=sorted(missing)[0], action=_RENEW)
    return listed


def _read_list(archive: tarfile.TarFile) -> ArchiveList:
    first = archive.next()
    if first is None or first.name != LIST or not first.isreg() or first.size > LARGEST_LIST:
        raise StoreError("this is no backup of a server", action=_RENEW)
    data = archive.extractfile(first)
    try:
        listed = ArchiveList.model_validate(json.loads(data.read() if data else b""))
    except (ValidationError, ValueError, RecursionError):
        raise StoreError("the archive's list is damaged", action=_RENEW) from None
    for name in listed.files:
        if not _PATH.fullmatch(name) or name == LIST:
            raise StoreError("the archive names a file that no server has", value=name, action=_RENEW)
    return listed


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, entry: ArchivedFile, place: Path | None) -> None:
    source = archive.extractfile(member)
    assert source is not None
    data = source.read(entry.size + 1)
    if len(data) != entry.size or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise StoreError("a file in the archive is damaged", value=member.name, action=_RENEW)
    if place is None:
        return
    path = place / member.name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), SECRET
    archive.addfile(member, io.BytesIO(data))
