"""One line of what a device recommends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Recommendation:
    """One line of the list. ``rank`` from 1. ``shares``: modality, ``behaviour`` or ``popularity`` to its part in the
    score, together 1. ``nearest``: title (or id) of the item of the history most like it, None without a history.
    ``rating``: how this user would rate it, in the unit of ratings; None where the release predicts none, or the user
    rated nothing."""

    rank: int
    item: str
    title: str
    score: float
    shares: Mapping[str, float]
    nearest: str | None
    reason: str
    rating: float | None = None
