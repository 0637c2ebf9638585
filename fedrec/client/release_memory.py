"""What a device remembers of releases, in its own store: whose it ranks with, and how new they were.

A device that was told its publisher, whose rosters and manifests it believes, ranks with nothing that this publisher
has not approved (`fedrec.release.approval`), whoever signed it, and knows releases under that key.

On other devices the publisher's key is remembered at first use, unless one is given. A release by another signer is
refused from then on until somebody gives that signer's key, which is then the publisher's. Of each signer and name the
highest version is remembered that was ranked with, and an older release, or another one of the same version, is
refused. A name that the device does not know must not be older than what it has of the same signer: else an old release
of another name would be a way back. Only a person at the device may allow an older release (``--allow-older``), which
forgets nothing.

A release of a simulation in one process, whose key is made anew for each run, is not remembered: else a store could be
tried on one run only. It is used where no publisher is remembered, as any first release is, and refused where one is.
Where a person gave its signer's key, it is remembered like any other.

Versions are of releases, not of stores: a device whose store is restored from a backup knows what the backup knew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fedrec.client.trust import release_publisher
from fedrec.data.store import EventStore
from fedrec.errors import ReleaseError, StoreError
from fedrec.release.bundle import Release, read_release
from fedrec.release.keys import fingerprint, read_public_key
from fedrec.release.limits import ReleaseLimits

_SETTING: Final = "releases"


@contextmanager
def remembered_release(
    directory: Path,
    store: EventStore,
    *,
    trusted_key: Path | None = None,
    allow_older: bool = False,
    limits: ReleaseLimits | None = None,
) -> Iterator[Release]:
    """Read a release for a device, and remember it if what is done with it succeeds.

    Args:
        directory: the release.
        store: the device's, which remembers.
        trusted_key: a file with the publisher's public key, 64 hex digits; it takes the place of the remembered one.
            None: the remembered one, or any where there is none yet.
        allow_older: use it although the device knows a newer one.
        limits: see `read_release`.

    Raises:
        ReleaseError: as `read_release`, or the device knows another publisher or a newer release.
        StoreError: the store cannot be read or written.
    """
    given = None if trusted_key is None else read_public_key(trusted_key)
    memory = StoredMemory(store, given, allow_older=allow_older)
    publisher = release_publisher(store)
    trusted = given if publisher is not None else given or memory.publisher
    release = read_release(directory, trusted_key=trusted, memory=memory, limits=limits, publisher=publisher)
    yield release
    if given is not None or publisher is not None or not _is_simulated(release):
        memory.keep(release)


def _is_simulated(release: Release) -> bool:
    run = release.contents.config.get("run")
    return isinstance(run, dict) and run.get("engine") in ("cohort", "grid")


class StoredMemory:
    """A `fedrec.release.bundle.ReleaseMemory` in a store.

    Args:
        store: the device's.
        given: the public key that a person gave for this use, or None.
        allow_older: whether a person allowed older releases for this use.
    """

    def __init__(self, store: EventStore, given: bytes | None = None, *, allow_older: bool = False) -> None:
        self._store, self._given, self._allow_older = store, given, allow_older

    @property
    def publisher(self) -> bytes | None:
        """The remembered publisher's public key; None before the first release."""
        publisher = self._read()["publisher"]
        return None if publisher is None else bytes.fromhex(publisher)

    def check_signer(self, signer: bytes) -> None:
        """See `ReleaseMemory.check_signer`."""
        # A key that was given is what `read_release` asks for.
        if self._given is None and self.publisher not in (None, signer):
            raise ReleaseError(
                "the release is signed by another key than the publisher's, which this device remembers",
                value=fingerprint(signer),
                action="Do not use it; if the publisher has a new key, compare fingerprints and give it with --key",
            )

    def check_version(self, signer: bytes, name: str, version: int, id: str) -> None:
        """See `ReleaseMemory.check_version`."""
        if self._allow_older:
            return
        seen: dict[str, list[Any]] = self._read()["seen"].get(signer.hex(), {})
        newest, known = seen[name] if name in seen else (max((one[0] for one in seen.values()), default=0), None)
        if version < newest:
            raise ReleaseError(
                f"the release has version {version}, this device has ranked with version {newest}",
                value=name,
                action="Take the newest from the publisher, or use this one all the same with --allow-older",
            )
        if version == newest > 0 and known not in (None, id):
            raise ReleaseError(
                f"this device has ranked with another release of the same version {version}",
                value=name,
                action="Ask the publisher which one is theirs, or use this one all the same with --allow-older",
            )

    def keep(self, release: Release) -> None:
        """Remember a release that was used. Raises StoreError."""
        with self._store.transaction(durable=True):
            kept = self._read()
            before = json.dumps(kept, sort_keys=True)
            kept["publisher"] = release.vouched_by.hex()
            seen = kept["seen"].setdefault(release.vouched_by.hex(), {})
            if release.name not in seen or seen[release.name][0] < release.version:
                seen[release.name] = [release.version, release.id]
            after = json.dumps(kept, sort_keys=True)
            if after != before:
                self._store.set_setting(_SETTING, after)

    def _read(self) -> dict[str, Any]:
        kept = self._store.get_setting(_SETTING)
        if kept is None:
            return {"publisher": None, "seen": {}}
        value = json.loads(kept)
        if not isinstance(value, dict) or set(value) != {"publisher", "seen"}:
            raise StoreError("what the store remembers of releases is damaged", action="Restore it from a backup")
        return value
