"""Identities and a signed roster for simulated devices, as people and their publisher make them in production."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedrec.client.trust import adopt_identity, mark_simulated, trust_roster_key
from fedrec.data.store import EventStore
from fedrec.secagg.identity import DeviceIdentity
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import create_roster_key, load_roster_key, write_roster

ROSTER: Final = "roster"
_KEY: Final = "roster.key"


def enlist(stores: Path, publisher: DeviceIdentity | None = None) -> Path:
    """Give every store in a directory an identity, and list them in a roster; returns its path.

    A device's place in the roster is the place of its store among the directory's, so that who is asked does not depend
    on how identities came out.  A directory that has a roster keeps it.

    Args:
        stores: the directory.
        publisher: signs the roster, and is whom the stores believe. None: a key that is used once and then forgotten,
            so that nobody can change the roster later.

    Raises:
        StoreError: a store cannot be read or written. ProtocolError: a store believes another publisher.
    """
    path = stores / ROSTER
    if path.is_file():
        return path
    key = publisher or _passing_key(stores / _KEY)
    files = sorted(stores.glob("*.sqlite"))
    identities = sorted((DeviceIdentity.fresh() for _ in files), key=lambda identity: identity.public)
    for file, identity in zip(files, identities, strict=True):
        with EventStore.open(file, check=False) as store, store.transaction():
            adopt_identity(store, identity)
            trust_roster_key(store, key.public)
            if publisher is None:
                mark_simulated(store)
    write_roster(path, Roster.of(identity.public for identity in identities), key)
    (stores / _KEY).unlink(missing_ok=True)
    return path


def _passing_key(path: Path) -> DeviceIdentity:
    """A key that is on the disk until all stores believe it, so that a call that is cut off can go on."""
    return load_roster_key(path) if path.is_file() else create_roster_key(path)
