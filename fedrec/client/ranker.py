"""Ranking on the device, offline: a release and the device's own store go in, recommendations come out.

What is read here (history, notes, photos) and what is made of it stay in this process.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedrec.client.checked_settings import remember_settings, remembered_settings, settings_of
from fedrec.client.load_population import first_met, positive_of, rated_items, ratings_of
from fedrec.client.own_content import OwnContentEncoder
from fedrec.client.recommendation import Recommendation
from fedrec.client.release_memory import remembered_release
from fedrec.client.who import chosen_user
from fedrec.data.schema import Event
from fedrec.data.store import EventStore
from fedrec.extras import TRAIN, need
from fedrec.ranking.explain import explain
from fedrec.ranking.ratings import RatingPredictor
from fedrec.ranking.score import Scorer
from fedrec.ranking.score_parts import ScoreParts
from fedrec.ranking.topk import id_order, top_k, without_seen
from fedrec.release.bundle import Release
from fedrec.release.contents import ModelState
from fedrec.users import Histories, UserBatch

if TYPE_CHECKING:
    from fedrec.config import Config
    from fedrec.ranking.content_search import ContentSearch

# A device starts anew for each list, so what a list may do without is loaded where it is used.
_log = logging.getLogger(__name__)


class Ranker:
    """A release, ready to rank for any user of any store. Building it encodes the catalogue once; it is only read.

    ``settings``: the release's, where it was found good before (`fedrec.client.checked_settings`); None: check it.
    ``keeps_own``: see `fedrec.client.own_content`.

    Raises:
        ReleaseError: the release's model, encoders or settings cannot be used.
    """

    def __init__(self, release: Release, settings: Config | None = None, *, keeps_own: int = 0) -> None:
        self.release = release
        contents = release.contents
        config, state = settings or settings_of(release), contents.model
        if settings is None:
            _ = self._encoders
        self.own_content = OwnContentEncoder(lambda: self._encoders, keeps_own)
        self.settings = config.model if state is None else state.settings
        self.positive_ratings = config.data.positive_ratings
        self.ids, self.titles = contents.items.ids, contents.items.titles
        self.places = dict(zip(self.ids, range(len(self.ids)), strict=True))
        self.order = id_order(self.ids)
        self.scorer = Scorer(
            model=None if state is None else _model(state),
            features=contents.items,
            collaborative=contents.collaborative,
            settings=config.collaborative,
            model_settings=self.settings,
        )
        biases = None if contents.collaborative is None else contents.collaborative.ratings
        scale = config.collaborative.ratings
        self._predictor = None if biases is None else RatingPredictor(biases, scale.lowest, scale.highest)
        reads, tower = config.collaborative.scoring.evidence, state is not None
        self._reads_notes = reads or (tower and self.settings.notes)
        self._reads_photos = reads or (tower and self.settings.photos)

    @cached_property
    def content(self) -> NDArray[np.float32]:
        """What variety tells items apart by: [items, width] of their features alone; all alike without any."""
        from fedrec.ranking.lists import content_vectors

        items = self.release.contents.items
        found = content_vectors(items.values, items.present)
        return np.zeros((len(self.ids), 1), dtype=np.float32) if found is None else found

    @cached_property
    def _encoders(self) -> dict[str, Any]:
        from fedrec.release.content_state import encoders

        return encoders(self.release.contents)

    @cached_property
    def content_search(self) -> ContentSearch:
        """The catalogue, to be searched by words or a picture."""
        from fedrec.ranking.content_search import ContentSearch

        return ContentSearch(self.release.contents.items, self._encoders)

    @cached_property
    def vectors(self) -> NDArray[np.float64]:
        """What a bandit tells items apart by, see `fedrec.ranking.bandit.item_vectors`."""
        from fedrec.ranking.bandit import item_vectors

        return item_vectors(self.scorer)

    def recommend(
        self,
        store: EventStore,
        user: str,
        top: int,
        explore: float | None = None,
        at: int | None = None,
        variety: float = 0.0,
    ) -> list[Recommendation]:
        """The ``top`` best items that the user has not met, best first, with reasons; fewer where fewer are left.

        A user without events is ranked for by what they wrote or photographed, and by popularity.

        ``explore``: not None = the best are put in the order of the user's own bandit (`fedrec.ranking.bandit`), which
        tries out what it does not know the more, the larger this is; from 0.  ``at``: see `known`.

        ``variety``: 0 to 1, how much likeness of content to what stands above counts against an item
        (`fedrec.ranking.rerank.mmr`); does nothing where ``explore`` is given, whose order the user's clicks make.

        Raises:
            StoreError: the store has no such user, or cannot be read.
            ModelError: ``top`` is below 1, or ``variety`` is not from 0 to 1.
        """
        known, events = self.known(store, user, at), store.events(user)
        parts = self.scorer.parts_of(known)
        scores = without_seen(parts.total, self.seen(events))
        if explore is None and variety == 0:
            found = self.best(scores, top)
        else:
            from fedrec.client.reordered import reordered

            found = reordered(self, store, user, scores, top, explore, variety)
        return self._explained(known, parts, found, events)

    def best(self, scores: NDArray[np.float32], top: int) -> NDArray[np.int32]:
        """Places of the ``top`` best of one user's scores, float32 [1, items], best first; fewer where fewer are left.
        Raises ModelError where ``top`` is below 1."""
        found = top_k(scores, top, order=self.order)[0]
        return np.asarray(found[found >= 0])

    def recommend_for(
        self,
        events: Sequence[Event],
        top: int,
        *,
        notes: Sequence[str] = (),
        photos: Sequence[bytes] = (),
        at: int | None = None,
        explain: bool = True,
    ) -> list[Recommendation]:
        """The same for somebody who has no store, from what is given: nothing is read from disk or written to it.

        Args:
            events: what was met, in time order; those with items that the release does not know are left out.
            top: how many items at most.
            notes: texts of the user's own.
            photos: pictures of the user's own, as the bytes of their files.
            at: see `known`.
            explain: False leaves out why (shares, nearest and reason are empty), which takes most of the time.

        Raises:
            ModelError: ``top`` is below 1.
        """
        known = self.known_of(events, notes=notes, photos=photos, at=at)
        parts = self.scorer.parts_of(known)
        scores = without_seen(parts.total, self.seen(events))
        found = self.best(scores, top)
        return self._explained(known, parts, found, events) if explain else self._listed(scores[0], found, events)

    def seen(self, events: Sequence[Event]) -> Histories:
        """What one user has met, positive or not: never recommended again."""
        return Histories.of([list(first_met(events, self.places))])

    def ratings(self, events: Sequence[Event], items: NDArray[np.integer]) -> list[float | None]:
        """How somebody of whom this is known would rate the items at these places; None as `Recommendation.rating`."""
        if self._predictor is None:
            return [None] * len(items)
        rated = rated_items([ratings_of(events, self.places)])
        level = np.repeat(self._predictor.levels(rated), len(items))
        found = self._predictor.predict(level, items)
        return [None if np.isnan(rating) else float(rating) for rating in found]

    def _listed(
        self, scores: NDArray[np.float32], found: NDArray[np.integer], events: Sequence[Event]
    ) -> list[Recommendation]:
        ratings = self.ratings(events, found)
        return [
            Recommendation(rank, self.ids[place], self.titles[place], float(scores[place]), {}, None, "", rating)
            for rank, (place, rating) in enumerate(zip(found.tolist(), ratings, strict=True), start=1)
        ]

    def _explained(
        self, known: UserBatch, parts: ScoreParts, found: NDArray[np.integer], events: Sequence[Event]
    ) -> list[Recommendation]:
        explained, ratings = explain(self.scorer, known, found, parts), self.ratings(events, found)
        return [
            Recommendation(
                rank, one.id, one.title, one.score, dict(one.shares), self._named(one.nearest), one.reason, rating
            )
            for rank, (one, rating) in enumerate(zip(explained, ratings, strict=True), start=1)
        ]

    def _named(self, place: int | None) -> str | None:
        return None if place is None else self.titles[place] or self.ids[place]

    def known(self, store: EventStore, user: str, at: int | None = None) -> UserBatch:
        """What the scorer is told of a user. Events with items that the release does not know are left out.

        ``at``: when the user asks, seconds since 1970, UTC; None = now. Read where the release has a context.

        Raises:
            StoreError: the store has no such user, or cannot be read.
        """
        chosen_user(store, user)
        adapter = None
        if self.scorer.tower is not None:
            from fedrec.client.adapter_state import adapter_of

            adapter = adapter_of(store, user, self.release)
        return self.known_of(
            store.events(user),
            notes=[note.text for note in store.notes(user)] if self._reads_notes else [],
            photos=[photo.data for photo in store.photos(user)] if self._reads_photos else [],
            adapter=adapter,
            at=at,
        )

    def known_of(
        self,
        events: Sequence[Event],
        *,
        notes: Sequence[str] = (),
        photos: Sequence[bytes] = (),
        adapter: NDArray[np.float32] | None = None,
        at: int | None = None,
    ) -> UserBatch:
        """What the scorer is told of somebody of whom this is known; what the release does not read is left out.

        ``adapter``: the private vector, float32 [1, dimension].  The rest as in `recommend_for`.
        """
        met = first_met(positive_of(events, self.positive_ratings), self.places)
        if unknown := sum(event.item not in self.places for event in events):
            _log.info("%d of %d events are about items that this release does not know", unknown, len(events))
        reads = self.scorer.tower is not None
        return UserBatch(
            histories=Histories.of([np.asarray(list(met), dtype=np.int32)]),
            notes=self.own_content.encode("text", notes) if self._reads_notes else None,
            photos=self.own_content.encode("image", photos) if self._reads_photos else None,
            adapter=adapter if reads else None,
            context=self._context(list(met.values()), at) if reads and self.settings.context else None,
        )

    def _context(self, met_at: Sequence[int], at: int | None) -> NDArray[np.float32]:
        from fedrec.ranking.context import context_of

        request = np.array([int(time.time()) if at is None else at], dtype=np.int64)
        seconds = np.array(met_at, dtype=np.int64)
        return context_of(request, np.array([0, len(seconds)]), seconds, self.settings.history)


def recommend(
    release_dir: Path,
    store: Path,
    user: str | None,
    top: int,
    trusted_key: Path | None = None,
    explore: float | None = None,
    variety: float = 0.0,
    allow_older: bool = False,
) -> list[Recommendation]:
    """Rank for one user (None: the store's only one), from a release's directory and a store's file; see
    `Ranker.recommend`.

    ``trusted_key``: a file with the publisher's public key, 64 hex digits. None: the key that the store remembers, see
    `fedrec.client.release_memory`, or that of the first release.  ``allow_older``: use the release although the device
    has ranked with a newer one.

    Raises:
        ReleaseError: the release is damaged, not signed by the publisher, older than one before, or cannot be used.
        StoreError: there is no such store or user.
        ModelError: ``top`` is below 1.
    """
    with (
        EventStore.open(store) as opened,
        remembered_release(release_dir, opened, trusted_key=trusted_key, allow_older=allow_older) as release,
    ):
        ranker = Ranker(release, remembered_settings(opened, release))
        remember_settings(opened, release)
        return ranker.recommend(opened, chosen_user(opened, user), top, explore, variety=variety)


def _model(state: ModelState) -> Any:
    need("torch", TRAIN, what="ranking with the content tower of this release")  # one without a tower does without
    from fedrec.release.model_state import recommender

    return recommender(state)
