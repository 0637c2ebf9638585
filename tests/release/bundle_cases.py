"""A signed release to meddle with, and signing it again afterwards."""

from __future__ import annotations

from pathlib import Path

from release_cases import CREATED

from fedrec.release.keys import SigningKey
from fedrec.release.manifest import CONTEXT, MANIFEST, SIGNATURE, FileEntry, Manifest

KEY = SigningKey.fresh()


def resign(directory: Path, files: dict[str, FileEntry] | None = None, key: SigningKey = KEY) -> None:
    """What a dishonest publisher can do: any manifest, properly signed."""
    entries = files or {p.name: FileEntry.of(p.read_bytes()) for p in directory.iterdir() if "manifest" not in p.name}
    sign(directory, Manifest(name="shop", created_at=CREATED, files=entries).to_bytes(), key)


def sign(directory: Path, data: bytes, key: SigningKey = KEY) -> None:
    (directory / MANIFEST).write_bytes(data)
    (directory / SIGNATURE).write_bytes(key.public + key.sign(CONTEXT, data))
