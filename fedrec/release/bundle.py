"""Writing and reading a release: a directory that is whole and signed, or refused.

    manifest.json          name, version, time, size and SHA-256 of every other file
    manifest.sig           public key (32 bytes) and Ed25519 signature of the manifest (64 bytes)
    catalogue.json, features.safetensors, model.json, model.safetensors, behaviour.safetensors,
    encoder-<modality>.safetensors, config.json, privacy.json, MODEL_CARD.md
    requires.json          where parts of other packages are needed to use it
    publisher.sig          where the publisher has approved it (`fedrec.release.approval`)

The signature holds the manifest, the manifest holds every other file, and there may be none beside them. What a reader
gets was hashed in memory first, so a file that changes between two looks is never used.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from fedrec.cores import allowed_cores
from fedrec.errors import ReleaseError
from fedrec.release import keys, packing
from fedrec.release.approval import APPROVAL, APPROVAL_BYTES, check_approval
from fedrec.release.contents import ReleaseContents
from fedrec.release.held_files import RENEW, HeldFiles, plain_file
from fedrec.release.keys import SigningKey
from fedrec.release.limits import ReleaseLimits
from fedrec.release.manifest import (
    CONTEXT,
    MANIFEST,
    SIGNATURE,
    FileEntry,
    Manifest,
    check_file_name,
    next_version,
    now,
)

_SIGNATURE_FILE = keys.PUBLIC_BYTES + keys.SIGNATURE_BYTES
_READERS: Final = 4


@dataclass(frozen=True, eq=False)
class Release:
    """A release that was read: ``contents``, and who signed it.

    ``id``: SHA-256 of the manifest in hex, which names this release and no other. ``version``: rises from one release
    of a publisher to the next; 0 = older than versions are. ``signer``: the public key (32 bytes). ``trusted``: whether
    that is the key that the reader asked for; where it asked for none, the release is whole, but anybody may have made
    it. ``publisher``: the public key that approved it, where the reader asked for that; else None.
    """

    id: str
    created_at: str
    version: int
    signer: bytes
    trusted: bool
    contents: ReleaseContents
    publisher: bytes | None = None

    @property
    def name(self) -> str:
        """What the release is called."""
        return self.contents.name

    @property
    def vouched_by(self) -> bytes:
        """Whose word the reader took: the publisher's, or else the signer's; a public key, 32 bytes."""
        return self.publisher or self.signer

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the signer's key."""
        return keys.fingerprint(self.signer)


class ReleaseMemory(Protocol):
    """What a reader knows of earlier releases (`fedrec.client.release_memory`)."""

    def check_signer(self, signer: bytes) -> None:
        """Raise ReleaseError where releases of this signer are not to be used."""

    def check_version(self, signer: bytes, name: str, version: int, id: str) -> None:
        """Raise ReleaseError where a newer release is known than this one, of which the signature holds."""


def write_release(
    directory: Path,
    contents: ReleaseContents,
    *,
    key: SigningKey,
    created_at: str | None = None,
    replace: bool = False,
    version: int | None = None,
) -> Manifest:
    """Write a release, whole or not at all: into a directory beside it first, then renamed.

    Args:
        directory: where it goes; must not exist, or be empty, unless ``replace``.
        contents: what it holds.
        key: signs it.
        created_at: UTC as ``2026-11-22T05:00:00Z``; None: now.
        version: above that of every release before; None: the seconds from 1970 to ``created_at``, or one more than the
            release that is replaced has.
        replace: take the place of a release that is there. It is moved aside, then removed; for a moment there is none.

    Raises:
        ReleaseError: a part cannot be stored, the place is taken (by anything that is no release even with
            ``replace``), or the disk refuses. Nothing half-written is left in ``directory``.
    """
    files = packing.pack(contents)
    for name in files:
        check_file_name(name)
    entries = {name: FileEntry.of(data) for name, data in files.items()}
    created_at = created_at or now()
    version = next_version(created_at, _version_of(directory)) if version is None else version
    manifest = Manifest(name=contents.name, created_at=created_at, files=entries, version=version)
    signed = manifest.to_bytes()
    Manifest.from_bytes(signed)
    signature = key.public + key.sign(CONTEXT, signed)
    _check_place(directory, replace)
    try:
        _publish(directory, {**files, MANIFEST: signed, SIGNATURE: signature})
    except OSError as error:
        raise ReleaseError(
            f"cannot write the release: {error.strerror}", value=str(directory), action="Give a writable directory"
        ) from None
    return manifest


def read_release(
    directory: Path,
    *,
    trusted_key: bytes | None = None,
    memory: ReleaseMemory | None = None,
    limits: ReleaseLimits | None = None,
    publisher: bytes | None = None,
) -> Release:
    """Read a release after checking signer, signature, version, and size and hash of every file. The only way to one.

    Args:
        directory: the release.
        trusted_key: the publisher's public key (32 bytes) that must have signed it. None: any key will do, which finds
            damage but no forgery; see `Release.trusted`.
        memory: what the reader knows of earlier releases. None: an older release than the last is not told apart.
        limits: sizes that the manifest is held to before a file is read; None: those of `ReleaseLimits`.
        publisher: the public key (32 bytes) of whoever must have approved it, whoever signed it. It may stand for
            ``trusted_key``, and ``memory`` knows releases under it.

    Raises:
        ReleaseError: it is missing, unsigned, signed by another key, not approved, older than one that is known, too
            large, damaged, incomplete, has a file too many, or is for a newer fedrec. There is no way to read part of
            it.
    """
    limits = limits or ReleaseLimits()
    signature = plain_file(directory, SIGNATURE, _SIGNATURE_FILE)
    signed = plain_file(directory, MANIFEST, None)
    public, proof = signature[: keys.PUBLIC_BYTES], signature[keys.PUBLIC_BYTES :]
    if publisher is not None:
        check_approval(_approval(directory), signed, publisher)
    elif memory is not None:
        memory.check_signer(public)
    if trusted_key is not None and trusted_key not in (public, publisher):
        raise ReleaseError(
            "the release is signed by another key than the trusted one",
            value=keys.fingerprint(public),
            action="Compare fingerprints with the publisher; do not use it",
        )
    keys.verify(public, CONTEXT, signed, proof)
    manifest, identity = Manifest.from_bytes(signed), hashlib.sha256(signed).hexdigest()
    if memory is not None:
        memory.check_version(publisher or public, manifest.name, manifest.version, identity)
    limits.check_files(manifest.files)
    _check_listing(directory, manifest)
    # Reading and hashing let other threads go on.
    with ThreadPoolExecutor(min(allowed_cores(), _READERS)) as pool:
        # Names and titles first, of which values are made while the arrays are hashed.
        names = sorted(manifest.files, key=lambda name: name != packing.CATALOGUE)
        held = HeldFiles({name: pool.submit(_held, directory, name, manifest.files[name]) for name in names})
        try:
            contents = packing.unpack(manifest.name, held)
        finally:
            held.check()
    limits.check_derived(contents, sum(entry.size for entry in manifest.files.values()))
    return Release(
        id=identity,
        created_at=manifest.created_at,
        version=manifest.version,
        signer=public,
        trusted=trusted_key is not None or publisher is not None,
        contents=contents,
        publisher=publisher,
    )


def _approval(directory: Path) -> bytes | None:
    return plain_file(directory, APPROVAL, APPROVAL_BYTES) if (directory / APPROVAL).exists() else None


def _version_of(directory: Path) -> int:
    """The version of the release that lies there, 0 without one: what the next is above. Its signature is not looked
    at, since whoever can write there can take it away as well."""
    try:
        return Manifest.from_bytes(plain_file(directory, MANIFEST, None)).version
    except ReleaseError:
        return 0


def _held(directory: Path, name: str, entry: FileEntry) -> bytes:
    data = plain_file(directory, name, entry.size)
    if FileEntry.of(data) != entry:
        raise ReleaseError(f"{name} is damaged: its hash is not the manifest's", action=RENEW)
    return data


def _check_listing(directory: Path, manifest: Manifest) -> None:
    there = {path.name for path in directory.iterdir()}
    extra = there - set(manifest.files) - {MANIFEST, SIGNATURE, APPROVAL}
    if extra:
        raise ReleaseError(
            "the release holds a file that nobody signed", value=sorted(extra), action="Remove it, or take a fresh copy"
        )


def _check_place(directory: Path, replace: bool) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise ReleaseError("a release is a directory of its own", value=str(directory), action="Give another path")
    if not directory.exists() or not any(directory.iterdir()):
        return
    if not replace or not (directory / MANIFEST).is_file():
        raise ReleaseError(
            "there is something already where the release should go",
            value=str(directory),
            action="Give another path" if not replace else "Only a release can be replaced by one",
        )


def _publish(directory: Path, files: Mapping[str, bytes]) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    tag = secrets.token_hex(8)
    fresh = directory.parent / f".{directory.name}.{tag}.new"
    old = directory.parent / f".{directory.name}.{tag}.old"
    try:
        fresh.mkdir()
        for name, data in files.items():
            _write_durably(fresh / name, data)
        _sync_directory(fresh)
        if directory.exists():
            directory.rename(old)
        try:
            fresh.rename(directory)
        except BaseException:
            if old.exists():
                old.rename(directory)
            raise
        _sync_directory(directory.parent)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
