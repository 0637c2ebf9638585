"""What a user clicks, learned on the device: a bandit's state, kept in the device's store and read by nobody else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedrec.content.bundle import pack, unpack
from fedrec.data.store import EventStore
from fedrec.errors import ContentError, ModelError
from fedrec.ranking.bandit import Bandit, contexts_of
from fedrec.ranking.topk import without_seen

if TYPE_CHECKING:
    from fedrec.client.ranker import Ranker

_STATE = "bandit"


def bandit_of(store: EventStore, user: str, release: str, width: int) -> Bandit:
    """A user's bandit over contexts of ``width`` numbers; a fresh one where there is none, or for another release.

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


def record_feedback(ranker: Ranker, store: EventStore, user: str, shown: Sequence[str], clicked: Sequence[str]) -> int:
    """Learn from one list: each item shown brought 1 where it was clicked and 0 where it was not.

    To be told before the clicks are added to the user's events: relevance is taken as it is ranked now.

    Returns:
        From how many items it learned; those that the release does not know are left out.

    Raises:
        StoreError: the store has no such user, or cannot be written.
        ModelError: something was clicked that was not shown.
    """
    if not set(clicked) <= set(shown):
        raise ModelError("what was clicked was not shown", value=sorted(set(clicked) - set(shown)))
    known = ranker.known(store, user)
    listed = [item for item in dict.fromkeys(shown) if item in ranker.places]
    places = np.array([ranker.places[item] for item in listed], dtype=np.int64)
    scores = ranker.scorer.parts_of(known).total
    # What has been met since is no candidate any more, but it was shown: its own score stands.
    left = without_seen(scores, known.histories)[0]
    left[places] = scores[0, places]
    contexts = contexts_of(ranker.vectors, left, places)
    rewards = np.array([float(item in set(clicked)) for item in listed])
    bandit = bandit_of(store, user, ranker.release.id, contexts.shape[1]).heard(contexts, rewards)
    with store.transaction():
        store.set_state(
            user, _STATE, pack({"matrix": bandit.matrix, "vector": bandit.vector}, {"release": ranker.release.id})
        )
    return len(listed)
