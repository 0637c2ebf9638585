"""A user's private vector, kept in the device's store and read by nobody else. Reading it takes no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedrec.content.bundle import pack, unpack
from fedrec.data.store import EventStore
from fedrec.errors import ContentError
from fedrec.release.bundle import Release

_STATE = "adapter"


def keep_adapter(store: EventStore, user: str, release: Release, vector: NDArray[np.float32]) -> None:
    """Keep a user's private vector [dimension] for a release, in place of the one before."""
    store.set_state(user, _STATE, pack({"vector": vector}, {"release": release.id}))


def adapter_of(store: EventStore, user: str, release: Release) -> NDArray[np.float32] | None:
    """A user's private vector [1, dimension] for this release; None where there is none, or for another release."""
    kept = store.get_state(user, _STATE)
    if kept is None:
        return None
    try:
        arrays, meta = unpack(kept)
    except ContentError:
        return None  # personalising again is all that is lost
    if meta.get("release") != release.id or "vector" not in arrays:
        return None
    return np.asarray(arrays["vector"], dtype=np.float32)[None, :]
