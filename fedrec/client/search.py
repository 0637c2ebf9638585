"""Search on the device: by words, by a picture, alone or mixed with the user's taste. The query never leaves it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedrec.client.ranker import Ranker
from fedrec.errors import ModelError
from fedrec.ranking.content_search import reason_of
from fedrec.ranking.standardise import standardised
from fedrec.ranking.topk import top_k
from fedrec.users import UserBatch


@dataclass(frozen=True)
class FoundItem:
    """One line of what was found. ``rank`` from 1. ``words``: of the query, those that the item's title or attributes
    have."""

    rank: int
    item: str
    title: str
    score: float
    words: tuple[str, ...]
    reason: str


def search(
    ranker: Ranker,
    query: str | None = None,
    picture: bytes | None = None,
    *,
    known: UserBatch | None = None,
    taste: float = 0.0,
    top: int = 10,
) -> list[FoundItem]:
    """The items that fit a query best, best first; those that the user has met are among them.

    Args:
        ranker: a release, ready.
        query: words.
        picture: the bytes of a picture's file.
        known: the user, as `Ranker.known` gives it, for ``taste``.
        taste: 0 to 1: how much the user's own ranking counts beside the query, both brought to one scale.
        top: how many at most, from 1.

    Raises:
        ContentError: nothing was asked, or nothing of it says anything to the catalogue.
        ModelError: ``taste`` is not from 0 to 1, or is above 0 without a user; ``top`` is below 1.
    """
    if not 0 <= taste <= 1 or (taste and known is None):
        raise ModelError("taste is from 0 to 1, and somebody's", value=taste, action="Give a user, or leave taste at 0")
    match = ranker.content_search.match(query, picture)
    scores = standardised(match.scores[None])
    if known is not None and taste:
        liked = standardised(ranker.scorer.parts_of(known).total)
        scores = np.asarray((1 - taste) * scores + taste * liked, dtype=np.float32)
    places = top_k(scores, top, order=ranker.order)[0]
    found: list[FoundItem] = []
    for rank, place in enumerate(places[places >= 0].tolist(), start=1):
        words = tuple(ranker.content_search.words.of(place, match.words)) if match.words else ()
        reason = reason_of(words, pictured=picture is not None, tasted=taste > 0)
        found.append(FoundItem(rank, ranker.ids[place], ranker.titles[place], float(scores[0, place]), words, reason))
    return found
