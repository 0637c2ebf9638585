"""The private part of the model on a real device: trained from its store, kept in its store, used when it ranks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedrec.client.adapter_state import keep_adapter
from fedrec.client.load_population import load_population
from fedrec.client.release_memory import remembered_release
from fedrec.config import from_tree
from fedrec.content.own_content import StoredContentEncoder
from fedrec.data.store import EventStore
from fedrec.errors import ModelError
from fedrec.randomness import fresh_key
from fedrec.release.bundle import Release
from fedrec.release.content_state import encoders, features
from fedrec.release.model_state import recommender
from fedrec.training.build_rows import RowShape
from fedrec.training.personalise import personalise
from fedrec.training.tables import Tables


def personalise_store(
    release_dir: Path, store: Path, *, steps: int, trusted_key: Path | None = None, allow_older: bool = False
) -> int:
    """Train the private vector of every user of a store against a release, and keep it in the store.

    ``trusted_key``, ``allow_older``: see `fedrec.client.release_memory.remembered_release`.

    Returns:
        How many users have one now.

    Raises:
        ReleaseError: the release cannot be used. StoreError: the store cannot be read or written.
        ModelError: the release has no content tower for a vector to be added to.
    """
    with (
        EventStore.open(store) as opened,
        remembered_release(release_dir, opened, trusted_key=trusted_key, allow_older=allow_older) as release,
    ):
        return _personalised(release, opened, steps)


def _personalised(release: Release, store: EventStore, steps: int) -> int:
    state = release.contents.model
    if state is None:
        raise ModelError("this release ranks by behaviour only, which has no private part")
    config = from_tree(release.contents.config)
    table, codecs = features(release.contents), encoders(release.contents)
    settings = state.settings
    found = load_population(
        store,
        table.index,
        notes=StoredContentEncoder.of(codecs.get("text")) if settings.notes else None,
        photos=StoredContentEncoder.of(codecs.get("image")) if settings.photos else None,
        times=settings.context,
        positive_ratings=config.data.positive_ratings,
    ).population
    vectors = personalise(
        recommender(state),
        found,
        Tables(table),
        np.arange(len(table.ids), dtype=np.int32),
        RowShape(config.training.positives, settings.history, settings.notes, settings.photos),
        loss=config.training.loss,
        steps=steps,
        key=fresh_key(),
    )
    with store.transaction():
        for user, vector in zip(store.users(), vectors, strict=True):
            keep_adapter(store, user, release, vector)
    return len(vectors)
