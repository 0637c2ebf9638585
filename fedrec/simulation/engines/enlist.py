"""Identities and a signed roster for simulated devices, as people and their publisher make them in production."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fedrec.client.trust import identity_of, trust_roster_key
from fedrec.data.store import EventStore
from fedrec.secagg.roster import Roster
from fedrec.server.roster_files import create_roster_key, load_roster_key, write_roster

ROSTER: Final = "roster"


def enlist(stores: Path) -> Path:
    """Give every store in a directory an identity, and list them in a roster; returns its path.

    The roster key is used once and then forgotten: nobody can change the roster later.  A directory that has a roster
    keeps it.

    Raises:
        StoreError: a store cannot be read or written.
    """
    path = stores / ROSTER
    if path.is_file():
        return path
    secret = stores / "roster.key"  # there until all stores believe it, so that a call that is cut off can go on
    key = load_roster_key(secret) if secret.is_file() else create_roster_key(secret)
    ids = []
    for file in sorted(stores.glob("*.sqlite")):
        with EventStore.open(file, check=False) as store, store.transaction():
            ids.append(identity_of(store).public)
            trust_roster_key(store, key.public)
    write_roster(path, Roster.of(ids), key)
    secret.unlink()
    return path
