"""Who this device is, and which publisher it believes: both are kept in its own store, and no server can set either.

The publisher signs rosters and run manifests with one key, which a device is given once. Of both it takes only what is
not older than what it has seen: a roster's version and a manifest's counter only rise.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fedrec.data.store import EventStore
from fedrec.errors import ConfigError, ProtocolError, StoreError
from fedrec.secagg.identity import ID_BYTES, DeviceIdentity

if TYPE_CHECKING:
    from fedrec.queries.run_manifest import RunManifest
    from fedrec.secagg.roster import Roster

# Ranking asks for the publisher only: rosters, and manifests with all settings, are loaded where one is read.
IDENTITY: Final = "secagg identity"
_ROSTER_KEY: Final = "secagg roster key"
_NEWEST: Final = "secagg newest roster"
_SIMULATED: Final = "simulated device"
_NEWEST_MANIFEST: Final = "newest run manifest"


def identity_of(store: EventStore) -> DeviceIdentity:
    """This device's identity; made and kept where there is none.

    Raises:
        StoreError: the store cannot be read or written. ProtocolError: the stored identity is damaged.
    """
    with store.transaction():
        kept = store.get_setting(IDENTITY)
        if kept is not None:
            return DeviceIdentity.from_private_bytes(_bytes(kept))
        made = DeviceIdentity.fresh()
        adopt_identity(store, made)
    return made


def adopt_identity(store: EventStore, identity: DeviceIdentity) -> None:
    """Give a device this identity in place of any before, which no roster lists any more then. Raises StoreError."""
    store.set_setting(IDENTITY, json.dumps(identity.private_bytes().hex()))


def trust_roster_key(store: EventStore, public: bytes) -> None:
    """Believe rosters signed by this key (32 bytes) from now on. It is set once.

    Raises:
        ProtocolError: the device believes another key, or this is none.
    """
    with store.transaction():
        kept = store.get_setting(_ROSTER_KEY)
        if len(public) != ID_BYTES or (kept is not None and _bytes(kept) != public):
            raise ProtocolError(
                "the device believes another roster key already, or this is none",
                value=public.hex()[:16],
                action="Begin with a new store if the roster's publisher has changed",
            )
        store.set_setting(_ROSTER_KEY, json.dumps(public.hex()))


def publisher_of(store: EventStore) -> bytes:
    """The public key (32 bytes) that signs rosters and manifests for this device.

    Raises:
        ConfigError: the device was given none. StoreError: it is damaged.
    """
    key = store.get_setting(_ROSTER_KEY)
    if key is None:
        action = "Run fedrec device identity --store FILE --roster-key FILE"
        raise ConfigError("the device was given no roster key to believe", action=action)
    return _bytes(key)


def release_publisher(store: EventStore) -> bytes | None:
    """Whose approval releases need on this device; None where it was told no publisher, or is simulated."""
    told = store.get_setting(_ROSTER_KEY) is not None and store.get_setting(_SIMULATED) is None
    return publisher_of(store) if told else None


def mark_simulated(store: EventStore) -> None:
    """Note that this store is a simulated device's, whose publisher's key is thrown away and can approve nothing."""
    store.set_setting(_SIMULATED, "true")


def accepted_manifest(store: EventStore, path: Path) -> RunManifest:
    """The run manifest in a file, if the publisher signed it for this code and it is none that was replaced.

    It is remembered, durably, before it is used.

    Raises:
        ConfigError: the device knows no publisher, the file cannot be read, or it is for another fedrec.
        ProtocolError: the publisher did not sign it, its counter is lower than one before, or another manifest had the
            same one.
    """
    from fedrec.queries.run_manifest import manifest_bytes

    manifest = _verified_manifest(manifest_bytes(path), publisher_of(store))
    manifest.check_code()
    this = [manifest.counter, manifest.digest]
    with store.transaction(durable=True):
        newest = json.loads(store.get_setting(_NEWEST_MANIFEST) or "null")
        if newest != this:
            if newest is not None and manifest.counter <= newest[0]:
                raise ProtocolError(
                    f"the run manifest is not newer than number {newest[0]}, which this device has accepted",
                    value=manifest.counter,
                    action="Ask the publisher for the newest, or for one with a higher counter",
                )
            store.set_setting(_NEWEST_MANIFEST, json.dumps(this))
    return manifest


def roster_of(store: EventStore, path: Path | None, manifest: RunManifest | None = None) -> Roster:
    """The roster in a file, if it is signed by the key that this device believes and not older than one it has seen.

    Args:
        store: the device's.
        path: the file.
        manifest: of the run, which names its roster; None in simulations.

    Raises:
        ConfigError: the device was given no key or no file, or the roster is not the manifest's.
        ProtocolError: the roster is not to be believed.
    """
    key = publisher_of(store)
    if path is None:
        raise ConfigError("the device was given no roster", action="Set roster to the path of a signed roster")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"no roster: {error.strerror}", value=path.name, action="Fetch it again") from None
    roster = _verified(data, key)
    if manifest is not None:
        manifest.check_roster(roster)
    _only_newer(store, roster)
    return roster


def _only_newer(store: EventStore, roster: Roster) -> None:
    this = [roster.version, roster.digest.hex()]
    newest = json.loads(store.get_setting(_NEWEST) or "null")
    if newest == this:
        return
    if newest is not None and roster.version <= newest[0]:
        raise ProtocolError("the roster is older than one that this device has seen", value=roster.version)
    with store.transaction(durable=True):
        store.set_setting(_NEWEST, json.dumps(this))


# A simulated node is a call in a process that has had others, and all have the same roster.
@lru_cache(maxsize=2)
def _verified(data: bytes, key: bytes) -> Roster:
    from fedrec.secagg.roster import Roster

    return Roster.verify(data, key)


@lru_cache(maxsize=2)
def _verified_manifest(data: bytes, key: bytes) -> RunManifest:
    from fedrec.queries.run_manifest import RunManifest

    return RunManifest.verify(data, key)


def _bytes(setting: str) -> bytes:
    try:
        return bytes.fromhex(json.loads(setting))
    except (ValueError, TypeError):
        # Its text is a secret, or may be.
        raise StoreError("a key in the store is damaged", action="Make a new store, and have it listed") from None
