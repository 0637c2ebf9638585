"""Ranking on the device, offline: a release and the device's own store go in, recommendations come out.

What is read here (history, notes, photos, the private adapter) and what is made of it stay in this process.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedrec.errors import StoreError
from fedrec.events.store import EventStore
from fedrec.ranking.explain import explain
from fedrec.ranking.topk import id_order, top_k, without_seen
from fedrec.ranking.users import Contents, Histories, Known
from fedrec.release.bundle import Release, read_release
from fedrec.release.keys import public_from_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recommendation:
    """One line of the list. ``rank`` from 1. ``shares``: modality, ``behaviour`` or ``popularity`` to its part in the
    score, together 1. ``nearest``: title (or id) of the item of the history most like it, None without a history."""

    rank: int
    item: str
    title: str
    score: float
    shares: Mapping[str, float]
    nearest: str | None
    reason: str
