"""Bring a device's manifest, roster, catalogue and release up to date: fetched from the server, held to the publisher.

Nothing that is fetched is used before the publisher's signature over it, or over its hash, was checked with the key
that the device was given once.  What and when it asks does not depend on what its store holds.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fedrec.client.own.device_directory import DeviceDirectory
from fedrec.client.own.fetch import PublicServer
from fedrec.client.release_memory import StoredMemory
from fedrec.client.trust import identity_of, publisher_of
from fedrec.content.feature_table import FEATURES_FILE, encoder_hashes, load_table
from fedrec.data.store import EventStore
from fedrec.enrolment.public_paths import CATALOGUE, MANIFEST, RELEASE, ROSTER
from fedrec.errors import ProtocolError, ReleaseError
from fedrec.queries.run_manifest import LARGEST_FILE, RunManifest, read_manifest
from fedrec.release import manifest as release_files
from fedrec.release.approval import APPROVAL, APPROVAL_BYTES, check_approval
from fedrec.release.bundle import read_release
from fedrec.release.limits import ReleaseLimits
from fedrec.secagg.identity import ID_BYTES
from fedrec.secagg.roster import Roster
from fedrec.whole_files import PUBLIC, replace_directory, write_whole

LARGEST_FEATURES: Final = 4 << 30
LARGEST_ENCODER: Final = 1 << 30
_SIGNATURES: Final = 4096


@dataclass(frozen=True)
class TakenRun:
    """A run that this device may take part in. ``counter``: the manifest's; ``catalogue``: a directory."""

    counter: int
    manifest: Path
    roster: Path
    catalogue: Path


class Updates:
    """What one device has, and how it gets what is newer.

    Args:
        directory: the device's.
        server: whom it asks.
    """

    def __init__(self, directory: DeviceDirectory, server: PublicServer) -> None:
        self._directory, self._server = directory, server
        with EventStore.open(directory.store) as store:
            self._publisher = publisher_of(store)
            self._identity = identity_of(store).public

    def run(self) -> TakenRun | None:
        """The newest run whose roster lists this device; None before it is enrolled, or where it is no more.

        Raises:
            ProtocolError: the server does not answer, or what it gives is not the publisher's.
            ConfigError: the run is for another fedrec.
        """
        data = self._server.get(MANIFEST, most=LARGEST_FILE + _SIGNATURES)
        if data is None:
            return self._last()
        manifest = RunManifest.verify(data, self._publisher)
        last = self._last()
        if last is not None and manifest.counter < last.counter:
            action = "Ask the publisher which one is the newest"
            raise ProtocolError(
                f"the server gives an older manifest than number {last.counter}", value=manifest.counter, action=action
            )
        place = self._place(manifest.counter)
        if not (place / MANIFEST).is_file():
            if not self._take(manifest, data, place):
                return None
        elif (place / MANIFEST).read_bytes() != data:
            action = "Ask the publisher, who may have lost track of what was signed"
            raise ProtocolError("there are two manifests of one number", value=manifest.counter, action=action)
        return self._taken(manifest)

    def release(self) -> int | None:
        """Fetch the release where there is a newer one; returns its version, None where there is nothing new.

        Raises:
            ReleaseError: the publisher did not approve it, it is older than one that was used, or damaged.
            ProtocolError: the server does not answer. StoreError: the disk refuses.
        """
        get = self._server.get
        signed = get(RELEASE, release_files.MANIFEST, most=release_files.LARGEST_MANIFEST)
        there = self._directory.release / release_files.MANIFEST
        if signed is None or (there.is_file() and there.read_bytes() == signed):
            return None
        check_approval(get(RELEASE, APPROVAL, most=APPROVAL_BYTES), signed, self._publisher)
        manifest = release_files.Manifest.from_bytes(signed)
        if there.is_file() and manifest.version <= release_files.Manifest.from_bytes(there.read_bytes()).version:
            action = "Ask the publisher which one is the newest"
            raise ReleaseError(
                "the server gives an older release than this device has", value=manifest.version, action=action
            )
        limits = ReleaseLimits()
        limits.check_files(manifest.files)
        fresh = _emptied(self._directory.path / ".release.new")
        try:
            sizes = {name: entry.size for name, entry in manifest.files.items()}
            sizes |= {
                release_files.MANIFEST: len(signed),
                release_files.SIGNATURE: _SIGNATURES,
                APPROVAL: APPROVAL_BYTES,
            }
            for name, size in sizes.items():
                self._server.save(RELEASE, name, most=size, place=fresh / name)
            with EventStore.open(self._directory.store) as store:
                read_release(fresh, memory=StoredMemory(store), limits=limits, publisher=self._publisher)
            replace_directory(fresh, self._directory.release)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return manifest.version

    def _take(self, manifest: RunManifest, data: bytes, place: Path) -> bool:
        """Fetch what belongs to a manifest; whether this device is on its roster."""
        manifest.check_code()
        signed = self._server.get(ROSTER, most=manifest.roster.devices * ID_BYTES + _SIGNATURES)
        if signed is None:
            raise ProtocolError("the server has no roster to its manifest", action="Try again later")
        roster = Roster.verify(signed, self._publisher)
        manifest.check_roster(roster)
        if self._identity not in roster.devices:
            return False
        self._fetch_catalogue(manifest)
        place.mkdir(parents=True, exist_ok=True)
        write_whole(place / ROSTER, signed, mode=PUBLIC)
        write_whole(place / MANIFEST, data, mode=PUBLIC)  # last: what is there is whole
        return True

    def _fetch_catalogue(self, manifest: RunManifest) -> None:
        place = self._directory.catalogues / manifest.catalogue
        if place.is_dir():
            return
        fresh = _emptied(self._directory.catalogues / ".new")
        try:
            self._server.save(CATALOGUE, FEATURES_FILE, most=LARGEST_FEATURES, place=fresh / FEATURES_FILE)
            for name, digest in manifest.encoders.items():
                self._server.save(CATALOGUE, name, most=LARGEST_ENCODER, place=fresh / name)
                with (fresh / name).open("rb") as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        raise ProtocolError("an encoder is not the one that was signed", value=name)
            manifest.check_catalogue(load_table(fresh).digest())
            manifest.check_encoders(encoder_hashes(fresh))
            fresh.rename(place)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _place(self, counter: int) -> Path:
        return self._directory.runs / f"{counter:06d}"

    def _taken(self, manifest: RunManifest) -> TakenRun:
        place = self._place(manifest.counter)
        catalogue = self._directory.catalogues / manifest.catalogue
        return TakenRun(manifest.counter, place / MANIFEST, place / ROSTER, catalogue)

    def _last(self) -> TakenRun | None:
        """The newest run that was taken before."""
        there = sorted(self._directory.runs.glob(f"[0-9]*/{MANIFEST}"))
        return self._taken(read_manifest(there[-1], self._publisher)) if there else None


def _emptied(place: Path) -> Path:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700, parents=True)
    return place
