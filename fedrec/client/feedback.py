"""Learning from what a user clicked of a list that was shown, on the user's device and for this user alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedrec.client.bandit_state import bandit_of, keep_bandit
from fedrec.client.ranker import Ranker
from fedrec.client.release_memory import remembered_release
from fedrec.data.store import EventStore
from fedrec.errors import ModelError
from fedrec.ranking.bandit import contexts_of
from fedrec.ranking.topk import without_seen


def record_feedback(ranker: Ranker, store: EventStore, user: str, shown: Sequence[str], clicked: Sequence[str]) -> int:
    """Learn from one list: each item shown brought 1 where it was clicked and 0 where it was not.

    Call it before the clicks are added to the user's events: relevance is taken as it is ranked now.

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
    left = without_seen(scores, ranker.seen(store.events(user)))[0]
    left[places] = scores[0, places]
    contexts = contexts_of(ranker.vectors, left, places)
    rewards = np.array([float(item in set(clicked)) for item in listed])
    bandit = bandit_of(store, user, ranker.release.id, contexts.shape[1]).updated(contexts, rewards)
    keep_bandit(store, user, ranker.release.id, bandit)
    return len(listed)


def record_clicks(
    release_dir: Path,
    store: Path,
    user: str,
    shown: Sequence[str],
    clicked: Sequence[str],
    trusted_key: Path | None = None,
    allow_older: bool = False,
) -> int:
    """Learn from what a user clicked of a list, from a release's directory and a store's file; see
    `record_feedback`, and for ``trusted_key`` and ``allow_older`` `fedrec.client.release_memory`.

    Raises:
        ReleaseError: the release is damaged, not signed by the publisher, older than one before, or cannot be used.
        StoreError: there is no such store or user.
        ModelError: something was clicked that was not shown.
    """
    with (
        EventStore.open(store) as opened,
        remembered_release(release_dir, opened, trusted_key=trusted_key, allow_older=allow_older) as release,
    ):
        return record_feedback(Ranker(release), opened, user, shown, clicked)
