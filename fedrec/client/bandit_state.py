"""What a user clicks, learned on the device: a bandit's state, kept in the device's store and read by nobody else."""

from __future__ import annotations

from fedrec.content.bundle import pack, unpack
from fedrec.data.store import EventStore
from fedrec.errors import ContentError
from fedrec.ranking.bandit import Bandit

_STATE = "bandit"


def bandit_of(store: EventStore, user: str, release: str, width: int) -> Bandit:
    """Return a user's bandit over contexts of ``width`` numbers; a fresh one where there is none, or for another
    release.

    ``release``: its id. Another release has other item vectors, about which the old beliefs say nothing.
    """
    kept = store.get_state(user, _STATE)
    if kept is not None:
        try:
            arrays, meta = unpack(kept)
            if meta.get("release") == release and arrays["vector"].shape == (width,):
                return Bandit(arrays["matrix"], arrays["vector"])
        except (ContentError, KeyError):
            pass  # what was learned is lost, and learned again
    return Bandit.fresh(width)


def keep_bandit(store: EventStore, user: str, release: str, bandit: Bandit) -> None:
    """Keep a user's bandit for a release, in place of the one before."""
    store.set_state(user, _STATE, pack({"matrix": bandit.matrix, "vector": bandit.vector}, {"release": release}))
